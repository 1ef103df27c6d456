-- condition/await_notification: go on waiting for a notification. A BLPOP of data:tokens:<g> and condition/claim follow.
--
-- KEYS
--   record            string  last request of the caller
--   data              hash    'g' -> generation; 'c:<g>' -> how many wait; 'n:<g>' -> notifications;
--                             'z:<waiter>' -> generation
--   data:tokens:<g>   list    hints for who waits
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    of the waiter
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    the waiter itself, if there is a notification for it

-- @include lib/reject_stale
local record, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local late = stale_reply(record, request)
if late then return late[1] end
local state = redis.call('HMGET', data, 'g', 'n:' .. generation, 'z:' .. waiter)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('condition'))
end
if not state[3] then -- it was taken for dead, and forgotten
  redis.call('HSET', data, 'z:' .. waiter, generation)
  redis.call('HINCRBY', data, 'c:' .. generation, '1')
end
local missing = tonumber(state[2] or 0) - redis.call('LLEN', data .. ':tokens:' .. generation)
if missing > 0 then
  -- @include lib/wake
  wake(data .. ':tokens:' .. generation, missing)
end
return '.'
