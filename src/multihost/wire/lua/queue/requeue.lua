-- queue/requeue: put the items of an in-flight list of this session back. Idempotent.
--
-- KEYS
--   data                       hash  ORDER, DELIVERIES, UNFINISHED, SHUT_DOWN, JOINED, GETTERS, KIND
--   data:items                 any   the items
--   data:inflight:<in_flight>  list  the items
--   data:dead                  list  dead letters
--   data:tokens:get            list  wake-up tokens of getters of a priority queue
--   data:tokens:join           list  one token for processes in join(), while nothing is unfinished
-- ARGV
--   in_flight  bytes  name of the in-flight list: <session>.<n>
--   counted    int    1 = they were delivered, 0 = no client received them
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    consumers

-- @include lib/queue_fields
-- @include lib/end_marker
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake
local data = KEYS[1]
local in_flight, counted = ARGV[1], ARGV[2]

local in_flight_key = data .. ':inflight:' .. in_flight
local state = redis.call('HMGET', data, ORDER, DELIVERIES, UNFINISHED, JOINED, GETTERS, SHUT_DOWN)
if not state[1] then
  local has_marker = redis.call('LINDEX', in_flight_key, -1) == ''
  redis.call('UNLINK', in_flight_key)
  if has_marker then -- for other consumers
    put_end_marker(data .. ':items', FIFO)
    redis.call('PEXPIRE', data .. ':items', BRIEF_TTL)
  end
  return false
end
local requeued, dead = requeue(data, in_flight_key, state[1], counted == '1', tonumber(state[2]), state[6])
if dead > 0 then count_done(data, state[3], dead, state[4]) end
if state[5] and requeued > 0 then wake(data .. ':tokens:get', math.min(requeued, tonumber(state[5]))) end
return false
