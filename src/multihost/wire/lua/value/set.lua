-- value/set: replace the value.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    VALUE
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request  int    number of the request
--   value    bytes  encoded value
-- RETURNS  OK or DISOWN
-- ERRORS   GONE RETAIN

-- @include lib/reserve_reply
-- @include lib/value_fields
-- @include lib/stored_bytes
local reply_cache, data = KEYS[1], KEYS[2]
local request, value = ARGV[1], ARGV[2]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('EXISTS', data, data, data .. ':refs')
if state < 2 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('value'))
end
if state == 2 and string.byte(value) ~= UNCOUNTED then
  redis.call('HSET', data, VALUE, value)
  return OK
end
-- @include lib/overwrite_reply
-- @include lib/errors
-- @include lib/refs
local links = references(data)
if links.must_retain(value) then
  -- @include lib/save_error
  return save_error(reply_cache, request, MUST_RETAIN)
end
local old = redis.call('HGET', data, VALUE)
redis.call('HSET', data, VALUE, value)
links.add(value)
return save_reply(reply_cache, request, links.remove(old))
