-- session/suspect: the connection of a session is gone: let the session die soon, unless it comes back. May be repeated.
--
-- KEYS
--   session  string  what it says of itself
-- ARGV
--   note   bytes  what it said when its connection was gone
--   grace  int    milliseconds until it is dead
-- RETURNS  milliseconds until it is dead; nil if it came back
-- ERRORS   none

local session = KEYS[1]
local note, grace = ARGV[1], ARGV[2]

if redis.call('GET', session) ~= note then return false end
local left = redis.call('PTTL', session)
if left <= tonumber(grace) then return left end
redis.call('PEXPIRE', session, grace)
return tonumber(grace)
