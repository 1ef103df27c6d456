-- barrier/claim: claim the outcome of a generation. Sent behind a BRPOPLPUSH of data:tokens:<g>.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    PARTIES, GENERATION, ARRIVED, STATE, ACTING, UNNOTIFIED, WAITER
--   data:tokens:<g>  list    outcome of a generation
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    of the party
-- RETURNS  OPEN or BROKEN; nil if the generation is still filling or runs its action
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/barrier_fields
-- @include lib/barrier_generation
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, GENERATION, ACTING)
if not state[1] then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('barrier'))
end
if state[1] == generation or state[2] == generation then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local own = redis.call('HGET', data, WAITER .. waiter)
redis.call('HDEL', data, WAITER .. waiter)
-- A server that went back has forgotten that it arrived: others made that generation.
if own ~= generation then return save_reply(reply_cache, request, BROKEN) end
return save_reply(reply_cache, request, acknowledge(data, generation))
