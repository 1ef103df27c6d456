-- event/set: set an event.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    's' -> '1' = set; 'n' -> how often it was set
--   data:tokens:<n>  list    one token, which goes round among those who wait since then
-- ARGV
--   request  int  number of the request
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    all who wait

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 's', 'n')
local set, times = state[1], state[2]
if not set then
  -- @include lib/save_error
  return save_error(record, request, object_gone('event'))
end
if set == '0' then
  redis.call('DEL', data .. ':tokens:' .. (times - 1)) -- a full server accepts what follows a deletion
  redis.call('HINCRBY', data, 'n', '1')
  redis.call('HSET', data, 's', '1')
  -- @include lib/wake
  wake(data .. ':tokens:' .. times, 1)
end
return save_reply(record, request, '.')
