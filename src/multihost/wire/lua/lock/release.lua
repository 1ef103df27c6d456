-- lock/release: end a hold. May be repeated.
--
-- KEYS
--   data         hash  'h' -> holder; 'w' -> number of waiters
--   data:tokens  list  hints for who waits
-- ARGV
--   id  bytes  the hold
-- RETURNS  '.', or what the lock is now: 'held', 'free' or 'gone'
-- ERRORS   none
-- WAKES    one waiter

-- @include lib/hand_off
local data = KEYS[1]
local id = ARGV[1]

local state = redis.call('HMGET', data, 'h', 'w')
if state[1] == id then
  hand_off(data, state[2])
  return '.'
end
if state[1] and state[1] ~= '' then return 'held' end
return redis.call('EXISTS', data) == 1 and 'free' or 'gone'
