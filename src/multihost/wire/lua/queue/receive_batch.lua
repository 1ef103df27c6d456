-- queue/receive_batch: take more items out of a queue. May be repeated.
--
-- Who repeats it does not use the place again.
--
-- KEYS
--   data                  hash  'o' -> order; 'n' -> most items; 'w' -> who waits for room; 'x' -> it was shut down
--   data:items            list  the items
--   data:flight:<flight>  list  where they go
--   data:tokens           list  hints for who waits for room
-- ARGV
--   flight  bytes  place of who takes them
--   count   int    at most so many
-- RETURNS  the items
-- ERRORS   none
-- WAKES    as many as there is room for

-- @include lib/inherit_ttl
-- @include lib/size
local data = KEYS[1]
local flight, count = ARGV[1], ARGV[2]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local state = redis.call('HMGET', data, 'o', 'n', 'w', 'x')
local items, place = data .. ':items', data .. ':flight:' .. flight
count = math.min(tonumber(count), size_of(data, state[1], state[4]))
local taken = {}
if count > 0 and state[1] == 'l' then
  local found = redis.call('LRANGE', items, -count, -1)
  redis.call('LTRIM', items, 0, -count - 1)
  for i = #found, 1, -1 do taken[#taken + 1] = found[i] end
elseif count > 0 then
  taken = redis.call('LRANGE', items, 0, count - 1)
  redis.call('LTRIM', items, count, -1)
end
for i = 1, #taken, 1000 do redis.call('RPUSH', place, unpack(taken, i, math.min(i + 999, #taken))) end
inherit_ttl(data, place)
local waiters = tonumber(state[3] or 0)
if waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, state[2] - redis.call('LLEN', items), waiters)
end
return taken
