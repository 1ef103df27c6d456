-- barrier/claim: learn what became of a generation. Written behind a BRPOPLPUSH of data:tokens:<g>.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'g' -> generation; 'l:<g>' -> how many have not heard; 'q:<waiter>' -> its generation
--   data:tokens:<g>  list    what became of a generation
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    of the waiter
-- RETURNS  'open' or 'broken'; nil if it is still filling
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/barrier_generation
local record, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'x')
if not state[1] then
  -- @include lib/save_error
  return save_error(record, request, object_gone('barrier'))
end
if state[1] == generation or state[2] == generation then
  -- @include lib/save_error
  return save_nil(record, request)
end
redis.call('HDEL', data, 'q:' .. waiter)
return save_reply(record, request, acknowledge(data, generation))
