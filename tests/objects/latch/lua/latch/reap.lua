-- latch/reap: remove dead waiters. Idempotent.
--
-- KEYS
--   data           hash    WAITER
--   sessions       prefix  of the session keys
--   sessions:<id>  hash    record of one, while it is alive
-- ARGV
--   previous       bytes  NOT USED: all reap scripts have the same arguments
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
-- RETURNS  number of waiters, state, then session and record of each waiter that is alive; nil if there is no
--          latch
-- ERRORS   none

-- @include lib/latch_fields
-- @include lib/live_sessions
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters = ARGV[1], ARGV[2]

if redis.call('EXISTS', data) == 0 then return false end
local seen, living = live_sessions(sessions), 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  if string.sub(field, 1, 2) == WAITER then
    if seen.info(string.sub(field, 3)) then
      living = living + 1
    else
      redis.call('HDEL', data, field)
    end
  end
end
return seen.append_to({living, previous})
