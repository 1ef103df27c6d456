-- barrier/arrive: arrive at a barrier and wait for the other parties.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    PARTIES, GENERATION, ARRIVED, STATE, ACTION, ACTING, UNNOTIFIED, WAITER
--   data:tokens:<g>  list    outcome of a generation
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  BROKEN; else generation ',' index ',' and WAIT, PASS, or ACT ',' and the action that this party runs
-- ERRORS   GONE
-- WAKES    all parties, if this is the last one and there is no action

-- @include lib/reply_cache
-- @include lib/barrier_fields
-- @include lib/barrier_generation
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, PARTIES, GENERATION, ARRIVED, STATE, ACTION)
local parties, generation, arrived = tonumber(state[1]), state[2], tonumber(state[3])
if not parties then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('barrier'))
end
if state[4] ~= '' then return save_reply(reply_cache, request, BROKEN) end
local arrival = generation .. ',' .. arrived .. ','
arrived = arrived + 1
if arrived < parties then
  redis.call('HSET', data, ARRIVED, arrived, WAITER .. waiter, generation)
  return save_reply(reply_cache, request, arrival .. WAIT)
end
redis.call('HSET', data, ARRIVED, '0', GENERATION, generation + 1)
if state[5] ~= '' then
  redis.call('HSET', data, ACTING, generation, WAITER .. waiter, generation)
  return save_reply(reply_cache, request, arrival .. ACT .. ',' .. state[5])
end
if parties > 1 then finish_generation(data, generation, parties - 1, OPEN) end
return save_reply(reply_cache, request, arrival .. PASS)
