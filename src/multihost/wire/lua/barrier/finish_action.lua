-- barrier/finish_action: finish the action of a barrier and let the other parties pass.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    PARTIES, GENERATION, ARRIVED, STATE, ACTING, UNNOTIFIED, WAITER
--   data:tokens:<g>  list    outcome of a generation
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    whose action is finished
-- RETURNS  OPEN; BROKEN if the barrier was broken meanwhile
-- ERRORS   GONE
-- WAKES    all other parties

-- @include lib/reply_cache
-- @include lib/barrier_fields
-- @include lib/barrier_generation
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, PARTIES, ACTING)
if not state[1] then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('barrier'))
end
redis.call('HDEL', data, WAITER .. waiter)
if state[2] ~= generation then return save_reply(reply_cache, request, BROKEN) end
redis.call('HDEL', data, ACTING)
if state[1] ~= '1' then finish_generation(data, generation, state[1] - 1, OPEN) end
return save_reply(reply_cache, request, OPEN)
