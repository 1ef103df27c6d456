-- condition/await_notification: enqueue a waiter again that goes on waiting, also one that the server has forgotten.
--
-- A BLPOP of data:tokens:<g> and condition/claim follow.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    GENERATION, WAITERS, NOTIFICATIONS, WAITER
--   data:tokens:<g>  list    wake-up tokens of waiters
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    of the waiter
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    the waiter itself, if there is a notification for it

-- @include lib/reject_stale
-- @include lib/condition_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local late = stale_reply(reply_cache, request)
if late then return late[1] end
local state = redis.call('HMGET', data, GENERATION, NOTIFICATIONS .. generation, WAITER .. waiter)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('condition'))
end
if not state[3] then -- it was declared dead, and removed, or the server has gone back
  redis.call('HSET', data, WAITER .. waiter, generation)
  redis.call('HINCRBY', data, WAITERS .. generation, '1')
  if tonumber(generation) > tonumber(state[1]) then redis.call('HSET', data, GENERATION, generation) end
end
local missing = tonumber(state[2] or 0) - redis.call('LLEN', data .. ':tokens:' .. generation)
if missing > 0 then
  -- @include lib/wake
  wake(data .. ':tokens:' .. generation, missing)
end
return OK
