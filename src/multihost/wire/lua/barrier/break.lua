-- barrier/break: a party gives up, someone aborts, or resets the barrier.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'g' -> generation; 'c' -> arrived; 's' -> state; 'x' -> the generation that runs its
--                            action; 'q:<waiter>' -> its generation
--   data:tokens:<g>  list    what became of a generation
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread of a party; '' = another one
--   generation  int    of the party
--   new         bytes  state from now on: 'broken', or '' = as at first
-- RETURNS  'broken', or 'open' if the party's generation ended so before
-- ERRORS   GONE
-- WAKES    all who wait

-- @include lib/once
-- @include lib/parties
local record, data = KEYS[1], KEYS[2]
local request, waiter, generation, new = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = answered(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'c', 'x')
if not state[1] then
  -- @include lib/refuse
  return refuse(record, request, gone('barrier'))
end
local arrived = tonumber(state[2])
if waiter ~= '' then
  if redis.call('HDEL', data, 'q:' .. waiter) == 0 then return answer(record, request, 'broken') end
  if state[1] == generation then
    arrived = arrived - 1
  elseif state[3] ~= generation then
    return answer(record, request, heard(data, generation))
  end
end
break_off(data, state[1], arrived, new)
return answer(record, request, 'broken')
