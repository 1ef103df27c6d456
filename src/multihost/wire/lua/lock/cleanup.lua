-- lock/cleanup: remove what attempts to take a lock left where there is none. May be repeated.
--
-- Whoever made one discards it. Of several that meet, the last one removes what all of them left.
--
-- KEYS
--   data  hash  'h' and 'f' were set where they do not belong
-- ARGV
-- RETURNS  nothing
-- ERRORS   none

local data = KEYS[1]

local state = redis.call('HMGET', data, 'h', 'f')
if state[2] and #state[2] > 10 then return false end
-- Something of another type, of the same name, has other fields.
if redis.call('HLEN', data) == (state[1] and 1 or 0) + (state[2] and 1 or 0) then redis.call('DEL', data) end
return false
