-- condition/reap: remove dead waiters, pass on their notifications, wake waiters whose tokens were lost. Idempotent.
--
-- KEYS
--   data             hash    GENERATION, OLDEST, WAITERS, NOTIFICATIONS, REACH, WAITER, NOTIFIED
--   data:tokens:<g>  list    wake-up tokens of waiters
--   sessions         prefix  of the session keys
--   sessions:<id>    hash    record of one, while it is alive
-- ARGV
--   previous       bytes  NOT USED: all reap scripts have the same arguments
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
-- RETURNS  number of waiters, state, then session and record of each holder and waiter that is alive; nil if
--          there is no condition
-- ERRORS   none
-- WAKES    waiters of passed on notifications

-- @include lib/condition_fields
-- @include lib/live_sessions
-- @include lib/condition_waiters
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, GENERATION, OLDEST)
if not state[1] then return false end
local last, oldest = tonumber(state[1]), tonumber(state[2] or 0)
local alive = live_sessions(sessions)
local living = 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  local kind = string.sub(field, 1, 2)
  if kind == WAITER or kind == NOTIFIED then
    if alive.info(string.sub(field, 3)) then
      living = living + 1
    else
      local generation = redis.call('HGET', data, field) -- or REACH
      redis.call('HDEL', data, field)
      if kind == WAITER then
        remove_waiter(data, generation)
      else
        notify_waiters(data, oldest, tonumber(generation), 1)
      end
    end
  end
end
for generation = oldest, last do
  local notified = count_of(data, NOTIFICATIONS, generation)
  local missing = notified - redis.call('LLEN', data .. ':tokens:' .. generation)
  if missing > 0 then
    -- The waiter that took the token is dead, or has not claimed it yet: then one too many does no harm.
    allow_oom(data)
    wake(data .. ':tokens:' .. generation, missing)
  end
end
return alive.append_to({living, previous})
