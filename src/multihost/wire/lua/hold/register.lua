-- hold/register: let a session use places at a lock or a semaphore. Idempotent.
--
-- O(sessions that are registered). What dead ones hold becomes free: where nobody ever waits no reap does that. The
-- next fencing token is larger than all of a server from which this one took over.
--
-- KEYS
--   data               hash    TYPE, FENCE, INITIAL_VALUE, RESERVE, TALLY, HOLDER, RELEASED
--   data:free          list    the elements that are free
--   data:refs          hash    CONSUMER, BURIED
--   data:held:<place>  list    what a session holds
--   sessions           prefix  of the session keys
--   sessions:<id>      hash    record of one, while it is alive
--   partition:lists    hash    the sessions that have places, or in-flight lists
-- ARGV
--   session  bytes  of the holder
--   places   int    how many
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    as many waiters as there are elements that dead sessions held

-- @include lib/codes
-- @include lib/dead_holders
-- @include lib/lift_fence
-- @include lib/register_places
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local session, places = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, TYPE, INITIAL_VALUE, FENCE)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('object'))
end
allow_oom(data)
local holders = dead_holders(data, sessions, state[2])
holders.reap(redis.call('HGETALL', data .. ':refs'), true)
lift_fence(data, FENCE, state[3], '0')
register_places(data, session, places)
return OK
