-- value/set: replace the value.
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
--   request  int    number of the request
--   value    bytes  encoded value
-- RETURNS  OK or CUT
-- ERRORS   GONE KEEP

-- @include lib/reserve_reply
-- @include lib/value_fields
-- @include lib/stored_bytes
local reply_cache, data = KEYS[1], KEYS[2]
local request, value = ARGV[1], ARGV[2]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('EXISTS', data, data, data .. ':contains')
if state < 2 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('value'))
end
local head = string.byte(value)
if state == 2 and head ~= LINKED and head ~= STAMPED then
  redis.call('HSET', data, VALUE, value)
  return OK
end
-- @include lib/overwrite_reply
-- @include lib/refs
local links = references(data)
if links.must_keep(value) then
  -- @include lib/save_error
  return save_error(reply_cache, request, links.refusal())
end
value = stored_form(value)
local old = redis.call('HGET', data, VALUE)
redis.call('HSET', data, VALUE, value)
links.add(value)
return save_reply(reply_cache, request, links.remove(old))
