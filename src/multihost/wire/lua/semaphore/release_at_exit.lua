-- semaphore/release_at_exit: remove the permits of a session that exits. Idempotent.
--
-- KEYS
--   data         hash  FREE_PERMITS, WAITERS, PERMITS, UNRELEASED
--   data:tokens  list  wake-up tokens of waiters
-- ARGV
--   session  bytes  session that exits
--   back     int    1 = its permits come back, 0 = they stay taken
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    as many waiters as there are permits

-- @include lib/semaphore_fields
-- @include lib/wake_for_permits
local data = KEYS[1]
local session, back = ARGV[1], ARGV[2]

local field = PERMITS .. session
local state = redis.call('HMGET', data, FREE_PERMITS, WAITERS, field)
redis.call('HDEL', data, field)
if back == '0' or not state[3] then return false end
local free = state[1] + state[3]
redis.call('HSET', data, FREE_PERMITS, free)
redis.call('HINCRBY', data, UNRELEASED, state[3])
wake_for_permits(data, free, tonumber(state[2] or 0))
return false
