-- event/clear: reset an event.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    STATE
-- ARGV
--   request  int  number of the request
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/event_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local set = redis.call('HGET', data, STATE)
if not set then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('event'))
end
if set == '1' then -- its token stays, for waiters that are about to block
  redis.call('HDEL', data, STATE) -- first, see lib/allow_oom
  redis.call('HSET', data, STATE, '0')
end
return save_reply(reply_cache, request, OK)
