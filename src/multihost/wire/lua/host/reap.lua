-- host/reap: check that a host is alive, and remove the keys of a dead one. Idempotent.
--
-- KEYS
--   data           hash    SESSION
--   data:channels  set     RPC channels, '<session>.<n>'
--   data:released  set     references that clients released
--   data:tokens    list    wake-up tokens of the host
--   sessions       prefix  of the session keys
--   sessions:<id>  hash    record of one, while it is alive
-- ARGV
--   previous       bytes  NOT USED: all reap scripts have the same arguments
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
--   looker         bytes  NOT USED: all reap scripts have the same arguments
-- RETURNS  1, the state, session and record of the host; nil if it is dead
-- ERRORS   none

-- @include lib/host_fields
-- @include lib/live_sessions
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

local session = redis.call('HGET', data, SESSION)
if not session then return false end
local seen = live_sessions(sessions)
if not seen.info(session) then
  redis.call('UNLINK', data, data .. ':channels', data .. ':released', data .. ':tokens')
  return false
end
return seen.append_to({1, previous})
