-- value/replace: replace the value if it is still the expected one.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    VALUE
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request   int    number of the request
--   expected  bytes  encoded value
--   value     bytes  encoded value
-- RETURNS  OK or CUT; nil if the value is another one
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/value_fields
-- @include lib/refs
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
if links.must_keep(value) then
  -- @include lib/save_error
  return save_error(reply_cache, request, links.refusal())
end
value = stored_form(value)
redis.call('HSET', data, VALUE, value)
links.add(value)
return save_reply(reply_cache, request, links.remove(old))
