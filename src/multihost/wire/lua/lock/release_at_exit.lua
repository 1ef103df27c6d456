-- lock/release_at_exit: end a hold whose process ends in order, without a release. May be repeated.
--
-- KEYS
--   data         hash  'h' -> holder; 'w' -> number of waiters; 'f' -> last fencing token; 'o' -> the same
--                      when a release was left out
--   data:tokens  list  hints for who waits
-- ARGV
--   id  bytes  the hold
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    one waiter

-- @include lib/hand_off
local data = KEYS[1]
local id = ARGV[1]

local state = redis.call('HMGET', data, 'h', 'w', 'f')
if state[1] ~= id then return false end
hand_off(data, state[2])
redis.call('HSET', data, 'o', state[3])
return false
