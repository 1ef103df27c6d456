-- condition/claim: claim a notification. Sent behind a BLPOP of data:tokens:<g>.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    GENERATION, WAITERS, NOTIFICATIONS, REACH, WAITER, NOTIFIED
--   data:tokens:<g>  list    wake-up tokens of waiters
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    of the waiter
-- RETURNS  OK; nil if there is none
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/condition_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, GENERATION, NOTIFICATIONS .. generation, WAITER .. waiter, REACH .. generation)
if not state[1] then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('condition'))
end
if tonumber(state[2] or 0) <= 0 or not state[3] then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
redis.call('HDEL', data, WAITER .. waiter) -- first, see lib/allow_oom
redis.call('HSET', data, NOTIFIED .. waiter, state[4] or generation)
for _, field in ipairs({NOTIFICATIONS .. generation, WAITERS .. generation}) do
  if redis.call('HINCRBY', data, field, '-1') <= 0 then redis.call('HDEL', data, field) end
end
if state[2] == '1' then redis.call('HDEL', data, REACH .. generation) end
return save_reply(reply_cache, request, OK)
