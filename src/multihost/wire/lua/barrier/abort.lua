-- barrier/abort: a party gives up, someone aborts, or resets the barrier.
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

-- @include lib/reply_cache
-- @include lib/barrier_generation
local record, data = KEYS[1], KEYS[2]
local request, waiter, generation, new = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'c', 'x')
if not state[1] then
  -- @include lib/save_error
  return save_error(record, request, object_gone('barrier'))
end
local arrived = tonumber(state[2])
if waiter ~= '' then
  if redis.call('HDEL', data, 'q:' .. waiter) == 0 then return save_reply(record, request, 'broken') end
  if state[1] == generation then
    arrived = arrived - 1
  elseif state[3] ~= generation then
    return save_reply(record, request, acknowledge(data, generation))
  end
end
break_generation(data, state[1], arrived, new)
return save_reply(record, request, 'broken')
