-- latch/reap: remove dead waiters. May be repeated.
--
-- KEYS
--   data           hash    'q:<waiter>': waiters
--   sessions       prefix  of the sessions
--   sessions:<id>  string  one of them
-- ARGV
--   before  bytes  what the last check of this process found
--   prune   int    not used
-- RETURNS  the number of waiters, what was found, then the session of each living one, and what it stored; nil if there
--          is no latch
-- ERRORS   none

-- @include lib/live_sessions
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

if redis.call('EXISTS', data) == 0 then return false end
local seen, living = live_sessions(sessions), 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  if string.sub(field, 1, 2) == 'q:' then
    if seen.note(string.sub(field, 3)) then
      living = living + 1
    else
      redis.call('HDEL', data, field)
    end
  end
end
return seen.append_to({living, before})
