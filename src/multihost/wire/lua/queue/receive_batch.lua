-- queue/receive_batch: take more items out of a queue. Idempotent.
--
-- A consumer that repeats it does not use the in-flight list again.
--
-- KEYS
--   data                       hash  MAXSIZE, ORDER, SHUT_DOWN, PUTTERS
--   data:items                 list  the items
--   data:inflight:<in_flight>  list  where they go
--   data:tokens                list  wake-up tokens of putters
-- ARGV
--   in_flight  bytes  name of the in-flight list: <session>.<n>
--   count      int    at most so many
-- RETURNS  the items
-- ERRORS   none
-- WAKES    as many putters as there is room for

-- @include lib/queue_fields
-- @include lib/inherit_ttl
-- @include lib/size
-- @include lib/allow_oom
local data = KEYS[1]
local in_flight, count = ARGV[1], ARGV[2]

allow_oom(data)
local state = redis.call('HMGET', data, ORDER, MAXSIZE, PUTTERS, SHUT_DOWN)
local items, in_flight_key = data .. ':items', data .. ':inflight:' .. in_flight
count = math.min(tonumber(count), size_of(data, state[1], state[4]))
local taken = {}
if count > 0 then taken = redis.call(state[1] == LIFO and 'RPOP' or 'LPOP', items, count) end
for i = 1, #taken, 1000 do redis.call('RPUSH', in_flight_key, unpack(taken, i, math.min(i + 999, #taken))) end
inherit_ttl(data, in_flight_key)
local waiters = tonumber(state[3] or 0)
if waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, state[2] - redis.call('LLEN', items), waiters)
end
return taken
