-- event/clear: reset an event.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    's' -> '1' = set; 'n' -> how often it was set
--   data:tokens:<n>  list    one token, which goes round among those who wait since then
-- ARGV
--   request  int  number of the request
-- RETURNS  '.'
-- ERRORS   GONE

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
if set == '1' then
  -- The token of this time stays for those who are about to wait; the one before is out of use.
  redis.call('DEL', data .. ':tokens:' .. (times - 2)) -- a full server accepts what follows a deletion
  redis.call('HSET', data, 's', '0')
end
return save_reply(record, request, '.')
