-- lock/release_at_exit: end a hold whose process exits without a release. Idempotent.
--
-- KEYS
--   data         hash  HOLDER, FENCE, WAITERS, UNRELEASED
--   data:tokens  list  wake-up tokens of waiters
-- ARGV
--   id  bytes  the hold
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    one waiter

-- @include lib/lock_fields
-- @include lib/hand_off
local data = KEYS[1]
local id = ARGV[1]

local state = redis.call('HMGET', data, HOLDER, WAITERS, FENCE)
if state[1] ~= id then return false end
hand_off(data, state[2])
redis.call('HSET', data, UNRELEASED, state[3])
return false
