-- barrier/reap: break a barrier of which an arrived party is dead. May be repeated.
--
-- KEYS
--   data             hash    'g' -> generation; 'c' -> arrived; 'x' -> the generation that runs its action;
--                            'q:<waiter>' -> its generation
--   data:tokens:<g>  list    what became of a generation
--   sessions         prefix  of the sessions
--   sessions:<id>    string  one of them
-- ARGV
--   before  bytes  what the last look of this process found
--   prune   int    1 = thoroughly
-- RETURNS  the number of waiters, what was found, then each living party's session and what it says of itself; nil if
--          there is no barrier
-- ERRORS   none
-- WAKES    all who wait, if one is dead

-- @include lib/live_sessions
-- @include lib/barrier_generation
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, 'g', 'c', 'x')
if not state[1] then return false end
local waiting = live_sessions(sessions)
local arrived, dead = tonumber(state[2]), false
for _, field in ipairs(redis.call('HKEYS', data)) do
  if string.sub(field, 1, 2) == 'q:' and not waiting.note(string.sub(field, 3)) then
    local generation = redis.call('HGET', data, field)
    redis.call('HDEL', data, field)
    if generation == state[1] then arrived = arrived - 1 end
    if generation == state[1] or generation == state[3] then dead = true end
  end
end
if dead then break_generation(data, state[1], arrived, 'broken') end
return waiting.append_to({arrived, before})
