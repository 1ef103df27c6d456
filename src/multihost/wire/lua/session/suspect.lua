-- session/suspect: shorten the lease of a session whose connection was closed, unless it has connected again.
-- Idempotent.
--
-- KEYS
--   session  string  session info
-- ARGV
--   info   bytes  session info when its connection was closed
--   grace  int    milliseconds until it expires
-- RETURNS  milliseconds until it expires; nil if it has connected again
-- ERRORS   none

local session = KEYS[1]
local info, grace = ARGV[1], ARGV[2]

if redis.call('GET', session) ~= info then return false end
local ttl = redis.call('PTTL', session)
if ttl <= tonumber(grace) then return ttl end
redis.call('PEXPIRE', session, grace)
return tonumber(grace)
