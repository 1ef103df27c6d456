-- condition/claim: take a notification. Written behind a BLPOP of data:tokens:<g>.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'c:<g>' -> how many wait; 'n:<g>' -> notifications; 'z:<waiter>' -> generation;
--                            'y:<waiter>': notified, but does not have the lock again
--   data:tokens:<g>  list    hints for who waits
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    of the waiter
-- RETURNS  '1'; nil if there is none
-- ERRORS   GONE

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'n:' .. generation, 'z:' .. waiter)
if not state[1] then
  -- @include lib/save_error
  return save_error(record, request, object_gone('condition'))
end
if tonumber(state[2] or 0) <= 0 or not state[3] then
  -- @include lib/save_error
  return save_nil(record, request)
end
redis.call('HDEL', data, 'z:' .. waiter) -- a full server accepts what follows a deletion
redis.call('HSET', data, 'y:' .. waiter, '')
if redis.call('HINCRBY', data, 'n:' .. generation, '-1') <= 0 then redis.call('HDEL', data, 'n:' .. generation) end
if redis.call('HINCRBY', data, 'c:' .. generation, '-1') <= 0 then redis.call('HDEL', data, 'c:' .. generation) end
return save_reply(record, request, '1')
