-- lock/cleanup: remove what failed attempts to take a lock left where there is none. Idempotent.
--
-- Each process cleans up its own attempt. Of several that meet, the last one removes what all of them left.
--
-- KEYS
--   data  hash  HOLDER and FENCE of attempts
-- ARGV
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/lock_fields
local data = KEYS[1]

local state = redis.call('HMGET', data, HOLDER, FENCE)
if state[2] and #state[2] > 10 then return false end
-- Something of another type, of the same name, has other fields.
if redis.call('HLEN', data) == (state[1] and 1 or 0) + (state[2] and 1 or 0) then redis.call('DEL', data) end
return false
