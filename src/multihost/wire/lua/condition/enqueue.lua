-- condition/enqueue: wait for the next notification. The lock is released after this.
--
-- Those who wait belong to a generation. A new one begins when notifications lie ready that nobody has taken yet: they
-- are for those who were there before.
--
-- KEYS
--   record  string  last request of the caller
--   data    hash    'g' -> generation; 'c:<g>' -> how many wait; 'n:<g>' -> notifications; 'z:<waiter>' -> generation
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  the generation
-- ERRORS   GONE

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local generation = redis.call('HGET', data, 'g')
if not generation then
  -- @include lib/save_error
  return save_error(record, request, object_gone('condition'))
end
if tonumber(redis.call('HGET', data, 'n:' .. generation) or 0) > 0 then
  generation = redis.call('HINCRBY', data, 'g', '1') .. ''
end
redis.call('HSET', data, 'z:' .. waiter, generation)
redis.call('HINCRBY', data, 'c:' .. generation, '1')
return save_reply(record, request, generation)
