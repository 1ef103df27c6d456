-- value/replace: replace the value if it is still the expected one.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    VALUE
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request   int    number of the request
--   expected  bytes  encoded value
--   value     bytes  encoded value
-- RETURNS  OK or DISOWN; nil if the value is another one
-- ERRORS   GONE RETAIN

-- @include lib/reply_cache
-- @include lib/value_fields
-- @include lib/refs
-- @include lib/errors
local reply_cache, data = KEYS[1], KEYS[2]
local request, expected, value = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local old = redis.call('HGET', data, VALUE)
if not old then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('value'))
end
if old ~= expected then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local links = references(data)
if links.must_retain(value) then
  -- @include lib/save_error
  return save_error(reply_cache, request, MUST_RETAIN)
end
redis.call('HSET', data, VALUE, value)
links.add(value)
return save_reply(reply_cache, request, links.remove(old))
