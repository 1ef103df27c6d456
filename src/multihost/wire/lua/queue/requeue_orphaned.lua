-- queue/requeue_orphaned: put the items of an in-flight list of a dead session back. Idempotent.
--
-- It may be one that the queue does not know any more.
--
-- KEYS
--   data                       hash    ORDER, DELIVERIES, UNFINISHED, SHUT_DOWN, JOINED, GETTERS, KIND
--   data:items                 any     the items
--   data:inflight:<in_flight>  list    the items
--   data:dead                  list    dead letters
--   data:tokens:get            list    wake-up tokens of getters of a priority queue
--   data:tokens:join           list    one token for processes in join(), while nothing is unfinished
--   sessions                   prefix  of the session keys
--   sessions:<id>              hash    record of one, while it is alive
-- ARGV
--   in_flight  bytes  name of the in-flight list: <session>.<n>
-- RETURNS  how many items were put back or became dead letters; nil if the session is alive, or there is no queue
-- ERRORS   none
-- WAKES    consumers

-- @include lib/queue_fields
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake
local data, sessions = KEYS[1], KEYS[2]
local in_flight = ARGV[1]

if redis.call('EXISTS', sessions .. ':' .. string.match(in_flight, '^[^.]*')) == 1 then return false end
local state = redis.call('HMGET', data, ORDER, DELIVERIES, UNFINISHED, JOINED, GETTERS, SHUT_DOWN)
if not state[1] then return false end
local in_flight_key = data .. ':inflight:' .. in_flight
local requeued, dead = requeue(data, in_flight_key, state[1], state[2] ~= '0', tonumber(state[2]), state[6])
if dead > 0 then count_done(data, state[3], dead, state[4]) end
if state[5] and requeued > 0 then wake(data .. ':tokens:get', math.min(requeued, tonumber(state[5]))) end
return requeued + dead
