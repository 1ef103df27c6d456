-- host/reap: whether a host lives; what is left of a dead one is removed. May be repeated.
--
-- KEYS
--   data           hash    's' -> its session
--   data:talks   set     its conversations
--   data:left      set     what clients let go
--   data:tokens    list    hints for it
--   sessions       prefix  of the sessions
--   sessions:<id>  string  one of them
-- ARGV
--   before  bytes  '' as the last look found
--   prune   int    not used
-- RETURNS  1, '', its session and what that says of itself; nil if it is dead
-- ERRORS   none

-- @include lib/live_sessions
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

local session = redis.call('HGET', data, 's')
if not session then return false end
local seen = live_sessions(sessions)
if not seen.note(session) then
  redis.call('UNLINK', data, data .. ':talks', data .. ':left', data .. ':tokens')
  return false
end
return seen.append_to({1, before})
