-- session/renew: raise the counter of a session: a heartbeat, or a connection that is back. Idempotent.
--
-- Twice raises it twice, which says the same. It never makes a record: where there is none the process was taken for
-- dead.
--
-- KEYS
--   session  hash  BEATS, RUN, CONNECTIONS, GRACE
-- ARGV
--   run          bytes  run id of the server; empty if it is not known yet
--   connections  bytes  client ids of its connections
--   grace        int    milliseconds
-- RETURNS  the counter; 0 if there is no record
-- ERRORS   none

-- @include lib/session_fields
-- @include lib/session_ttl
local session = KEYS[1]
local run, connections, grace = ARGV[1], ARGV[2], ARGV[3]

if redis.call('PEXPIRE', session, SESSION_TTL) == 0 then return 0 end -- first, see lib/allow_oom
if run ~= '' then redis.call('HSET', session, RUN, run, CONNECTIONS, connections, GRACE, grace) end
return redis.call('HINCRBY', session, BEATS, 1)
