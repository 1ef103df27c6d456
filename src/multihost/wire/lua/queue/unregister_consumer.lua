-- queue/unregister_consumer: requeue what a session that exits had taken and not finished. Idempotent.
--
-- KEYS
--   data                       hash  ORDER, DELIVERIES, UNFINISHED, SHUT_DOWN, JOINED, GETTERS, KIND, DONE
--   data:items                 any   the items
--   data:refs                  hash  CONSUMER
--   data:inflight:<in_flight>  list  items that a consumer has in flight
--   data:dead                  list  dead letters
--   partition:lists            hash  the sessions that have in-flight lists
--   data:tokens:get            list  wake-up tokens of getters of a priority queue
--   data:tokens:join           list  one token for processes in join(), while nothing is unfinished
-- ARGV
--   session  bytes  session that exits
--   lists    int    how many in-flight lists it had; those of a deleted queue are empty, or have its end marker
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    consumers

-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake
-- @include lib/note_lists
local data = KEYS[1]
local session, lists = ARGV[1], ARGV[2]

redis.call('HDEL', data .. ':refs', CONSUMER .. session)
forget_list(data, session)
redis.call('HDEL', data, DONE .. session)
local state = redis.call('HMGET', data, ORDER, DELIVERIES, UNFINISHED, JOINED, GETTERS, SHUT_DOWN)
local returned, dead = 0, 0
for n = tonumber(lists), 1, -1 do
  local in_flight_key = data .. ':inflight:' .. session .. '.' .. n
  if state[1] then
    local requeued, letters = requeue(data, in_flight_key, state[1], state[2] ~= '0', tonumber(state[2]), state[6])
    returned, dead = returned + requeued, dead + letters
  else
    redis.call('DEL', in_flight_key)
  end
end
if dead > 0 then count_done(data, state[3], dead, state[4]) end
if state[5] and returned > 0 then wake(data .. ':tokens:get', math.min(returned, tonumber(state[5]))) end
return false
