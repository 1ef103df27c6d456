-- barrier/reap: break a barrier if a party that arrived is dead. Idempotent.
--
-- KEYS
--   data             hash    PARTIES, GENERATION, ARRIVED, STATE, ACTING, UNNOTIFIED, WAITER
--   data:tokens:<g>  list    outcome of a generation
--   sessions         prefix  of the session keys
--   sessions:<id>    hash    record of one, while it is alive
-- ARGV
--   previous       bytes  NOT USED: all reap scripts have the same arguments
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
-- RETURNS  number of waiters, state, then session and record of each holder and waiter that is alive; nil if
--          there is no barrier
-- ERRORS   none
-- WAKES    all parties, if one is dead

-- @include lib/barrier_fields
-- @include lib/live_sessions
-- @include lib/barrier_generation
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, GENERATION, ARRIVED, ACTING)
if not state[1] then return false end
local alive = live_sessions(sessions)
local arrived, dead = tonumber(state[2]), false
for _, field in ipairs(redis.call('HKEYS', data)) do
  if string.sub(field, 1, 2) == WAITER and not alive.info(string.sub(field, 3)) then
    local generation = redis.call('HGET', data, field)
    redis.call('HDEL', data, field)
    if generation == state[1] then arrived = arrived - 1 end
    if generation == state[1] or generation == state[3] then dead = true end
  end
end
if dead then break_generation(data, state[1], arrived, BROKEN) end
return alive.append_to({arrived, previous})
