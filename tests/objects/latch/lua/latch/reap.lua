-- latch/reap: remove dead waiters. Idempotent.
--
-- KEYS
--   data           hash    WAITER
--   sessions       prefix  of the session keys
--   sessions:<id>  hash    record of one, while it is alive
-- ARGV
--   previous       bytes  NOT USED: all reap scripts have the same arguments
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
--   looker         bytes  who looks; '' = look in any case
-- RETURNS  number of waiters, state, then session and record of each waiter that is alive; only their number if another
--          one looks just now; nil if there is no latch
-- ERRORS   none

-- @include lib/latch_fields
-- @include lib/live_sessions
-- @include lib/looker
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', data) == 0 then return false end
local waiting = looked_after(redis.call('HGET', data, LOOKER .. 'latch'), looker)
if waiting then return waiting end
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
note_look(data, LOOKER .. 'latch', looker, living)
return seen.append_to({living, previous})
