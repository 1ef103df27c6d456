-- object/forget: an object that a container let go was disowned.
--
-- KEYS
--   record  string  last request of the caller
--   data    any     the container
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int    number of the request
--   ident    bytes  the object
--   epoch    int    the epoch that was disowned
-- RETURNS  '.'
-- ERRORS   none

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, ident, epoch = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local number = redis.call('HGET', data .. ':refs', 'n:' .. ident)
local last = redis.call('HGET', data .. ':refs', 'e:' .. ident) or '0'
if number and tonumber(number) <= 0 and last == epoch then
  redis.call('HDEL', data .. ':refs', 'n:' .. ident, 'e:' .. ident)
end
if redis.call('EXISTS', data) == 0 and redis.call('HLEN', data .. ':refs') <= 2 then
  redis.call('HDEL', data .. ':refs', '', 'd')
end
return save_reply(record, request, '.')
