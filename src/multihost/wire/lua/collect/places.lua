-- collect/places: remove what lies at places, and in in-flight lists, of objects that do not exist; a piece at a time.
-- Idempotent. O(200).
--
-- What moved there when the object had just expired, or had just been deleted, or when a consumer's connection had just
-- ended, may have no lease.
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
local page = redis.call('HSCAN', partition .. 'lists', cursor, 'COUNT', 100)
for i = 1, #page[2], 2 do
  local ident, session = string.match(page[2][i], '^(.*) (%S+)$')
  local data = partition .. (ident or '')
  if not ident then
    redis.call('HDEL', partition .. 'lists', page[2][i])
  elseif not redis.pcall('HGET', data, TYPE) then
    for n = 1, lists_of(page[2][i + 1]) do
      redis.call('UNLINK', data .. ':inflight:' .. session .. '.' .. n)
      redis.call('UNLINK', data .. ':held:' .. session .. '.' .. n)
    end
    remove(data .. ':free')
    remove(data .. ':items')
    remove(data) -- the count of tokens, by one who waited when the object was deleted
    redis.call('HDEL', partition .. 'lists', page[2][i])
  elseif redis.call('HEXISTS', data .. ':refs', CONSUMER .. session) == 0
    and redis.call('HEXISTS', data .. ':refs', BURIED .. session) == 0 then
    redis.call('HDEL', partition .. 'lists', page[2][i])
  end
end
return page[1]
