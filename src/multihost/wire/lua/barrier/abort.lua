-- barrier/abort: break a barrier: one party gives up, or a process calls abort() or reset().
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    PARTIES, GENERATION, ARRIVED, STATE, ACTING, UNNOTIFIED, WAITER
--   data:tokens:<g>  list    outcome of a generation
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread of the party; '' = none
--   generation  int    of the party; '' = in which it waits
--   new         bytes  state from now on: 'broken', or '' for a reset
-- RETURNS  BROKEN; OPEN if the generation of the party ended before that
-- ERRORS   GONE
-- WAKES    all parties

-- @include lib/reply_cache
-- @include lib/barrier_fields
-- @include lib/barrier_generation
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, generation, new = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, GENERATION, ARRIVED, ACTING)
if not state[1] then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('barrier'))
end
local arrived = tonumber(state[2])
if waiter ~= '' then
  local own = redis.call('HGET', data, WAITER .. waiter)
  if own then redis.call('HDEL', data, WAITER .. waiter) end
  if generation == '' then generation = own end
  if state[1] == generation then -- if it is not its own, the server has forgotten that it arrived
    if own then arrived = arrived - 1 end
  elseif not own then
    return save_reply(reply_cache, request, BROKEN)
  elseif state[3] ~= generation then
    return save_reply(reply_cache, request, acknowledge(data, generation))
  end
end
break_generation(data, state[1], arrived, new)
return save_reply(reply_cache, request, BROKEN)
