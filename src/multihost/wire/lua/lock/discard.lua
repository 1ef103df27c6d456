-- lock/discard: undo what taking a lock left where there is none. May be repeated.
--
-- KEYS
--   data  hash  'h' and 'f' were set where they do not belong
-- ARGV
--   id  bytes  the hold
-- RETURNS  nothing
-- ERRORS   none

local data = KEYS[1]
local id = ARGV[1]

local state = redis.call('HMGET', data, 'h', 'f')
if not state[2] or #state[2] > 10 then return false end
if state[1] == id then redis.call('HDEL', data, 'h') end
redis.call('HDEL', data, 'f')
return false
