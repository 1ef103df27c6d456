-- barrier/settle: settle a barrier with a session, after the server may have gone back. Idempotent.
--
-- A generation that has ended ends again. A party that waits, and that the server does not know, arrives again: if it
-- is the last one then, and there is an action, which nobody would run, the barrier breaks.
--
-- KEYS
--   data             hash  PARTIES, GENERATION, ARRIVED, STATE, ACTION, ACTING, UNNOTIFIED, WAITER
--   data:tokens:<g>  list  outcome of a generation
-- ARGV
--   sid         bytes  of the session, without the number of its name
--   ended       int    the last generation that it knows to have ended; -1 = none
--   outcome     bytes  of that one
--   acting      bytes  session and thread of a party that runs the action of that one; '' = none
--   parties...  bytes  session and thread of one that waits, and its generation
-- RETURNS  for each party that waits its position, -1 if that is what it was; nil if there is no barrier
-- ERRORS   none
-- WAKES    all parties, if their generation has ended

-- @include lib/barrier_fields
-- @include lib/barrier_generation
-- @include lib/catch_up
-- @include lib/allow_oom
local data = KEYS[1]
local sid, ended, outcome, acting = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local state = redis.call('HMGET', data, PARTIES, GENERATION, ARRIVED, ACTION)
if not state[1] then return false end
allow_oom(data)
local parties, generation, arrived = tonumber(state[1]), state[2], tonumber(state[3])
local current = ended + 1
for i = 6, #ARGV, 2 do current = math.max(current, tonumber(ARGV[i])) end
if current > tonumber(generation) then
  local old = generation
  generation, arrived = string.format('%.0f', current), 0
  catch_up(data, sid, generation, old, ended, outcome, acting)
end
local positions = {}
for i = 5, #ARGV, 2 do
  local field, position = WAITER .. ARGV[i], -1
  if ARGV[i + 1] == generation and redis.call('HEXISTS', data, field) == 0 then
    position, arrived = arrived, arrived + 1
    redis.call('HSET', data, field, generation, ARRIVED, arrived)
    if arrived == parties and state[4] == '' then
      redis.call('HSET', data, ARRIVED, '0', GENERATION, generation + 1)
      finish_generation(data, generation, parties, OPEN)
    elseif arrived == parties then
      break_generation(data, generation, arrived, BROKEN)
    end
    if arrived == parties then generation = '' end
  end
  positions[#positions + 1] = position
end
return positions
