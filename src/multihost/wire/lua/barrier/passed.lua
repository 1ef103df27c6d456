-- barrier/passed: learn what became of a generation. Written behind a BRPOPLPUSH of data:tokens:<g>.
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

-- @include lib/once
-- @include lib/parties
local record, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local done = answered(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'x')
if not state[1] then
  -- @include lib/refuse
  return refuse(record, request, gone('barrier'))
end
if state[1] == generation or state[2] == generation then
  -- @include lib/refuse
  return nothing(record, request)
end
redis.call('HDEL', data, 'q:' .. waiter)
return answer(record, request, heard(data, generation))
