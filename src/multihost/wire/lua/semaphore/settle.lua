-- semaphore/settle: settle a semaphore with a session, after the server may have gone back. Idempotent.
--
-- KEYS
--   data         hash  FREE_PERMITS, FENCE, WAITERS, PERMITS
--   data:tokens  list  wake-up tokens of waiters
-- ARGV
--   session  bytes  name of the session
--   last     int    the last fencing token that was handed out to it
--   count    int    how many permits it believes to have
-- RETURNS  how many of them are lost; nil if there is no semaphore
-- ERRORS   none
-- WAKES    as many waiters as there are permits

-- @include lib/semaphore_fields
-- @include lib/allow_oom
-- @include lib/lift_fence
-- @include lib/wake_for_permits
local data = KEYS[1]
local session, last, count = ARGV[1], ARGV[2], ARGV[3]

local state = redis.call('HMGET', data, FREE_PERMITS, FENCE, WAITERS, PERMITS .. session)
local free, waiters, had = tonumber(state[1]), tonumber(state[3]) or 0, tonumber(state[4]) or 0
if not free then return false end
count = tonumber(count)
allow_oom(data)
lift_fence(data, FENCE, state[2], last)
if had <= count then return count - had end
redis.call('HSET', data, PERMITS .. session, count, FREE_PERMITS, free + had - count)
if count == 0 then redis.call('HDEL', data, PERMITS .. session) end
if waiters > 0 then wake_for_permits(data, free + had - count, waiters) end
return 0
