-- semaphore/reap: return the permits of dead sessions, wake waiters whose tokens were lost, remove dead waiters.
-- Idempotent.
--
-- What comes back never exceeds the initial value: a semaphore that is used as a signal starts at 0.
--
-- KEYS
--   data           hash    FREE_PERMITS, INITIAL_VALUE, WAITERS, WAITER, PERMITS
--   data:tokens    list    wake-up tokens of waiters
--   sessions       prefix  of the session keys
--   sessions:<id>  hash    record of one, while it is alive
-- ARGV
--   previous       bytes  state that the previous reap of this process found
--   check_waiters  int    1 = check for dead waiters, too
-- RETURNS  number of waiters, state, then session and record of each holder and waiter that is alive; nil if
--          there is no semaphore
-- ERRORS   none
-- WAKES    as many waiters as there are permits

-- @include lib/semaphore_fields
-- @include lib/live_sessions
-- @include lib/wake_for_permits
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, FREE_PERMITS, INITIAL_VALUE, WAITERS)
local free, value, waiters = tonumber(state[1]), tonumber(state[2]), tonumber(state[3] or 0)
if not free then return false end
local seen = live_sessions(sessions)
local living = 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  local kind, identity = string.sub(field, 1, 2), string.sub(field, 3)
  if kind == PERMITS and not seen.info(identity) then
    local back = tonumber(redis.call('HGET', data, field))
    redis.call('HDEL', data, field)
    free = math.max(free, math.min(free + back, value))
    redis.call('HSET', data, FREE_PERMITS, free)
  elseif kind == WAITER and check_waiters == '1' then
    if seen.info(identity) then
      living = living + 1
    else
      redis.call('HDEL', data, field)
    end
  end
end
if check_waiters == '1' then
  waiters = living
  redis.call('HDEL', data, WAITERS) -- first, see lib/allow_oom
  redis.call('HSET', data, WAITERS, waiters)
end
if free > 0 and waiters > 0 then
  allow_oom(data)
  wake_for_permits(data, free, waiters)
end
return seen.append_to({waiters, previous})
