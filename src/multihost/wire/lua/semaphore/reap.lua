-- semaphore/reap: return the permits of dead sessions, wake who waits in vain, forget dead waiters. May be repeated.
--
-- What comes back never exceeds the initial value: a semaphore that is used as a signal starts at 0.
--
-- KEYS
--   data           hash    'v' -> free permits; 'n' -> initial value; 'w', 'q:<waiter>': waiters; 'p:<session>'
--   data:tokens    list    hints for who waits
--   sessions       prefix  of the sessions
--   sessions:<id>  string  one of them
-- ARGV
--   before  bytes  what the last look of this process found
--   prune   int    1 = look for dead waiters, too
-- RETURNS  the number of waiters, what was found, then the session of each who lives, of holders and of waiters
--          that were looked for, and what it says of itself; nil if there is no semaphore
-- ERRORS   none
-- WAKES    as many waiters as there are permits

-- @include lib/live_sessions
-- @include lib/wake_for_permits
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, 'v', 'n', 'w')
local free, value, waiters = tonumber(state[1]), tonumber(state[2]), tonumber(state[3] or 0)
if not free then return false end
local seen = live_sessions(sessions)
local living = 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  local kind, identity = string.sub(field, 1, 2), string.sub(field, 3)
  if kind == 'p:' and not seen.note(identity) then
    local back = tonumber(redis.call('HGET', data, field))
    redis.call('HDEL', data, field)
    free = math.max(free, math.min(free + back, value))
    redis.call('HSET', data, 'v', free)
  elseif kind == 'q:' and prune == '1' then
    if seen.note(identity) then
      living = living + 1
    else
      redis.call('HDEL', data, field)
    end
  end
end
if prune == '1' then
  waiters = living
  redis.call('HDEL', data, 'w') -- a full server accepts what follows a deletion
  redis.call('HSET', data, 'w', waiters)
end
if free > 0 and waiters > 0 then
  redis.call('HDEL', data, '') -- of nothing, too
  wake_for_permits(data, free, waiters)
end
return seen.append_to({waiters, before})
