-- semaphore/release_at_exit: a session ends in order. May be repeated.
--
-- KEYS
--   data         hash  'v' -> free permits; 'w' -> waiters; 'p:<session>' -> its permits; 'o' -> how many releases were
--                      left out
--   data:tokens  list  hints for who waits
-- ARGV
--   session  bytes  who ends
--   back     int    1 = its permits come back, 0 = they stay taken
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    as many waiters as there are permits

-- @include lib/wake_for_permits
local data = KEYS[1]
local session, back = ARGV[1], ARGV[2]

local field = 'p:' .. session
local state = redis.call('HMGET', data, 'v', 'w', field)
redis.call('HDEL', data, field)
if back == '0' or not state[3] then return false end
local free = state[1] + state[3]
redis.call('HSET', data, 'v', free)
redis.call('HINCRBY', data, 'o', state[3])
wake_for_permits(data, free, tonumber(state[2] or 0))
return false
