-- session/enter: make the record of a session in a partition, under a name that was never used. Idempotent.
--
-- No other script makes one: what is not entered is dead.
--
-- KEYS
--   session  hash  BEATS, RUN, CONNECTIONS, HOST, PROCESS, GRACE, LEASE, HOSTNAME
-- ARGV
--   run          bytes  run id of the server
--   connections  bytes  client ids of its connections
--   host         bytes  identity of its host
--   process      bytes  process id and start
--   grace        int    milliseconds
--   lease        int    milliseconds
--   hostname     bytes  name of its host
-- RETURNS  the counter
-- ERRORS   none

-- @include lib/session_fields
-- @include lib/session_ttl
-- @include lib/allow_oom
local session = KEYS[1]
local run, connections, host, process = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local grace, lease, hostname = ARGV[5], ARGV[6], ARGV[7]

allow_oom(session)
redis.call(
  'HSET', session, RUN, run, CONNECTIONS, connections, HOST, host, PROCESS, process, GRACE, grace, LEASE, lease,
  HOSTNAME, hostname
)
redis.call('PEXPIRE', session, SESSION_TTL)
return redis.call('HINCRBY', session, BEATS, 1)
