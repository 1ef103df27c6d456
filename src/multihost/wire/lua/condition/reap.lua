-- condition/reap: remove dead waiters, pass on their notifications, wake waiters whose tokens were lost. Idempotent.
--
-- KEYS
--   data             hash    GENERATION, OLDEST, WAITERS, NOTIFICATIONS, REACH, WAITER, NOTIFIED
--   data:tokens:<g>  list    wake-up tokens of waiters
--   sessions         prefix  of the session keys
--   sessions:<id>    hash    record of one, while it is alive
-- ARGV
--   previous       int    turn that the previous reap of this process found
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
--   looker         bytes  who looks; '' = look in any case, and at all
-- RETURNS  number of waiters, state, then session and record of some that are alive; only their number if another one
--          looks just now; nil if there is no condition
-- ERRORS   none
-- WAKES    waiters of passed on notifications

-- @include lib/condition_fields
-- @include lib/live_sessions
-- @include lib/looker
-- @include lib/condition_waiters
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

local state = redis.call('HMGET', data, GENERATION, OLDEST, LOOKER .. 'condition')
if not state[1] then return false end
local waiting = looked_after(state[3], looker)
if waiting then return waiting end
local turn = (tonumber(previous) or 0) + 1
local last, oldest = tonumber(state[1]), tonumber(state[2] or 0)
local alive = live_sessions(sessions)
local fields, names, living = {}, {}, {}
for _, field in ipairs(redis.call('HKEYS', data)) do
  local kind = string.sub(field, 1, 2)
  if kind == WAITER or kind == NOTIFIED then
    fields[#fields + 1] = field
    names[#names + 1] = string.sub(field, 3)
  end
end
alive.look_at(names)
allow_oom(data)
for n, field in ipairs(fields) do
  if alive.is_alive(names[n]) then
    living[#living + 1] = names[n]
  else
    local generation = redis.call('HGET', data, field) -- or REACH
    redis.call('HDEL', data, field)
    if string.sub(field, 1, 2) == WAITER then
      remove_waiter(data, generation)
    else
      notify_waiters(data, oldest, tonumber(generation), 1)
    end
  end
end
alive.judge(living, turn, JUDGED)
for generation = oldest, last_generation(oldest, last) do
  local notified = count_of(data, NOTIFICATIONS, generation)
  local missing = notified - redis.call('LLEN', data .. ':tokens:' .. generation)
  if missing > 0 then
    -- The waiter that took the token is dead, or has not claimed it yet: then one too many does no harm.
    wake(data .. ':tokens:' .. generation, missing)
  end
end
note_look(data, LOOKER .. 'condition', looker, #living)
return alive.append_to({#living, turn .. ''})
