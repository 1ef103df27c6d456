-- collect/places: remove what lies at places, and in in-flight lists, of objects that do not exist; a piece at a time.
-- Idempotent. O(200).
--
-- What moved there when the object had just expired, or had just been deleted, or when a consumer's connection had just
-- ended, may have no lease. What moved to a session of which an object that was made anew knows nothing goes back.
--
-- KEYS
--   names               hash  names of the partition, which says which one it is
--   partition:lists     hash  the sessions that have places, or in-flight lists: '<object> <session>' -> how many
--   partition:u:<data>  any   the objects
--   partition:n:<data>  any   the same
-- ARGV
--   cursor  int  where to go on; 0 = at the start
-- RETURNS  where to go on, 0 = that was all
-- ERRORS   none

-- @include lib/partition
-- @include lib/object_fields
-- @include lib/refs_fields
-- @include lib/lists_of
local names = KEYS[1]
local cursor = ARGV[1]

local partition = partition_of(names)
local function remove(key) -- tokens of those who wait there expire
  if redis.call('PTTL', key) == -1 then redis.call('UNLINK', key) end
end
-- A dict has no TYPE. Nor has what is left of an object that was deleted while somebody waited for it.
local function exists(ident, data)
  local name = string.match(ident, '^n:(.*)$')
  if not name then return redis.pcall('HGET', data, TYPE) end
  name = string.gsub(string.gsub(name, '%%3A', ':'), '%%25', '%%')
  return redis.call('HEXISTS', names, name) == 1 and redis.call('EXISTS', data) == 1
end
local page = redis.call('HSCAN', partition .. 'lists', cursor, 'COUNT', 100)
for i = 1, #page[2], 2 do
  local ident, session = string.match(page[2][i], '^(.*) (%S+)$')
  local data, is_known = partition .. (ident or ''), false
  if ident and not exists(ident, data) then
    for n = 1, lists_of(page[2][i + 1]) do
      redis.call('UNLINK', data .. ':inflight:' .. session .. '.' .. n)
      redis.call('UNLINK', data .. ':held:' .. session .. '.' .. n)
    end
    remove(data .. ':free')
    remove(data .. ':items')
    remove(data) -- the count of tokens, by one who waited when the object was deleted
  elseif ident then
    is_known = redis.call('HEXISTS', data .. ':refs', CONSUMER .. session) == 1
      or redis.call('HEXISTS', data .. ':refs', BURIED .. session) == 1
    for n = 1, is_known and 0 or lists_of(page[2][i + 1]) do
      local in_flight, held = data .. ':inflight:' .. session .. '.' .. n, data .. ':held:' .. session .. '.' .. n
      if redis.call('EXISTS', in_flight, held) > 0 then
        -- The object was deleted and made anew. But for the mark of that, what moved there since is of the new one.
        -- @include lib/requeue
        -- @include lib/give_back
        -- @include lib/set_free
        local kind = redis.pcall('HGET', data, TYPE)
        if type(kind) == 'string' and string.find(kind, '=items', 1, true) then
          local state = redis.call('HMGET', data, ORDER, SHUT_DOWN)
          requeue(data, in_flight, state[1], false, 0, state[2])
        elseif type(kind) == 'string' and string.find(kind, '=free', 1, true) then
          redis.call('LREM', held, 0, '')
          local initial = tonumber(redis.call('HGET', data, INITIAL_VALUE)) or 1
          give_back(data, held, math.max(initial - count_free(data), 0))
        end
        redis.call('UNLINK', in_flight, held)
      end
    end
  end
  if not is_known then redis.call('HDEL', partition .. 'lists', page[2][i]) end
end
return page[1]
