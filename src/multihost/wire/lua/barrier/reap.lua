-- barrier/reap: break a barrier if a party that arrived is dead. Idempotent.
--
-- KEYS
--   data             hash    PARTIES, GENERATION, ARRIVED, STATE, ACTING, UNNOTIFIED, WAITER
--   data:tokens:<g>  list    outcome of a generation
--   sessions         prefix  of the session keys
--   sessions:<id>    hash    record of one, while it is alive
-- ARGV
--   previous       int    turn that the previous reap of this process found
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
--   looker         bytes  who looks; '' = look in any case, and at all
-- RETURNS  number of waiters, state, then session and record of some that are alive; only their number if another one
--          looks just now; nil if there is no barrier
-- ERRORS   none
-- WAKES    all parties, if one is dead

-- @include lib/barrier_fields
-- @include lib/live_sessions
-- @include lib/looker
-- @include lib/barrier_generation
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

local state = redis.call('HMGET', data, GENERATION, ARRIVED, ACTING, LOOKER .. 'barrier')
if not state[1] then return false end
local waiting = looked_after(state[4], looker)
if waiting then return waiting end
allow_oom(data)
local turn = (tonumber(previous) or 0) + 1
local alive = live_sessions(sessions)
local names, living = {}, {}
for _, field in ipairs(redis.call('HKEYS', data)) do
  if string.sub(field, 1, 2) == WAITER then names[#names + 1] = string.sub(field, 3) end
end
alive.look_at(names)
local arrived, dead = tonumber(state[2]), false
for _, name in ipairs(names) do
  if alive.is_alive(name) then
    living[#living + 1] = name
  else
    local generation = redis.call('HGET', data, WAITER .. name)
    redis.call('HDEL', data, WAITER .. name)
    if generation == state[1] then arrived = arrived - 1 end
    if generation == state[1] or generation == state[3] then dead = true end
  end
end
alive.judge(living, turn, JUDGED)
if dead then break_generation(data, state[1], arrived, BROKEN) end
note_look(data, LOOKER .. 'barrier', looker, arrived)
return alive.append_to({arrived, turn .. ''})
