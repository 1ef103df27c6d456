-- session/register: register a session in a partition, or renew its lease. Idempotent.
--
-- KEYS
--   session  string  session info
-- ARGV
--   info   bytes  session info: connection, server run, process and host
--   lease  int    milliseconds
-- RETURNS  1 if it was registered, else 0
-- ERRORS   none

local session = KEYS[1]
local info, lease = ARGV[1], ARGV[2]

local known = redis.call('DEL', session) -- first, see lib/allow_oom
redis.call('SET', session, info, 'PX', lease)
return known
