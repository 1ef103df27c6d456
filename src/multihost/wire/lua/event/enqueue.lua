-- event/enqueue: check that there is something to wait for. Idempotent.
--
-- A BRPOPLPUSH of data:tokens:<times_set> and event/poll follow. Without a token the former would block even if the
-- event was set and cleared since.
--
-- KEYS
--   data                     hash  STATE, TIMES_SET
--   data:tokens:<times_set>  list  one token for the waiters since then, once the event was set
-- ARGV
--   known_times  bytes  its number when the wait began
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    the waiter itself, if the event was set, or the server has gone back

-- @include lib/codes
-- @include lib/event_fields
local data = KEYS[1]
local known_times = ARGV[1]

local state = redis.call('HMGET', data, STATE, TIMES_SET)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('event'))
end
if state[1] == '1' or state[2] ~= known_times then
  redis.call('DEL', data .. ':tokens:' .. known_times) -- first, see lib/allow_oom
  -- @include lib/wake
  wake(data .. ':tokens:' .. known_times, 1)
end
return OK
