-- lock/release: end a hold. Idempotent.
--
-- KEYS
--   data         hash  HOLDER, WAITERS
--   data:tokens  list  wake-up tokens of waiters
-- ARGV
--   id  bytes  the hold
-- RETURNS  OK, HELD, FREE or MISSING
-- ERRORS   none
-- WAKES    one waiter

-- @include lib/codes
-- @include lib/lock_fields
-- @include lib/hand_off
local data = KEYS[1]
local id = ARGV[1]

local state = redis.call('HMGET', data, HOLDER, WAITERS)
if state[1] == id then
  hand_off(data, state[2])
  return OK
end
if state[1] and state[1] ~= '' then return HELD end
return redis.call('EXISTS', data) == 1 and FREE or MISSING
