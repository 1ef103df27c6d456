-- list/set: replace one element. O(distance from the nearer end).
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             list    '', then the elements
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request  int    number of the request
--   index    int    may be negative
--   value    bytes  encoded value
-- RETURNS  OK or CUT; nil if the index is out of range
-- ERRORS   GONE KEEP

-- @include lib/reserve_reply
-- @include lib/stored_bytes
local reply_cache, data = KEYS[1], KEYS[2]
local request, index, value = ARGV[1], ARGV[2], ARGV[3]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
local at = tonumber(index)
if at < 0 then at = at + length end
if at < 0 or at >= length then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
at = at + 1
local head = string.byte(value)
if head ~= LINKED and head ~= STAMPED and redis.call('EXISTS', data .. ':contains') == 0 then
  redis.call('LSET', data, at, value)
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
local old = redis.call('LINDEX', data, at)
redis.call('LSET', data, at, value)
links.add(value)
return save_reply(reply_cache, request, links.remove(old))
