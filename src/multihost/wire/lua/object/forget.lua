-- object/forget: remove an object from data:refs that a container released, and the client has disowned.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         any     the container
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request  int    number of the request
--   ident    bytes  of the object
--   epoch    int    that was disowned
-- RETURNS  OK
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/refs_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, ident, epoch = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local number = redis.call('HGET', data .. ':refs', COUNT .. ident)
local last = redis.call('HGET', data .. ':refs', EPOCH .. ident) or '0'
if number and tonumber(number) <= 0 and last == epoch then
  redis.call('HDEL', data .. ':refs', COUNT .. ident, EPOCH .. ident)
end
if redis.call('EXISTS', data) == 0 and redis.call('HLEN', data .. ':refs') <= 2 then
  redis.call('HDEL', data .. ':refs', LAST_EPOCH, RELEASED_IN)
end
return save_reply(reply_cache, request, OK)
