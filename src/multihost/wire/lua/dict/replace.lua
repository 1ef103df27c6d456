-- dict/replace: put one entry if its value is still the expected one.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    COUNTER; field -> encoded value
--   data:index       zset    field by number of its insertion
--   data:originals   hash    field -> original key, where it is not the field
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request   int    number of the request
--   field     bytes  canonical key
--   expected  bytes  '' = there must be none
--   value     bytes  encoded value
--   original  bytes  the original key; '' = the field is it
-- RETURNS  OK or CUT; nil if the value is another one
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/dict_index
local reply_cache, data = KEYS[1], KEYS[2]
local request, field, expected, value, original = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('dict'))
end
local old = redis.call('HGET', data, field)
if (old or '') ~= expected then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local links = references(data)
if links.must_keep(value) then
  -- @include lib/save_error
  return save_error(reply_cache, request, links.refusal())
end
value = stored_form(value)
if redis.call('HSET', data, field, value) == 1 then add_to_index(data, field, original) end
links.add(value)
return save_reply(reply_cache, request, links.remove(old))
