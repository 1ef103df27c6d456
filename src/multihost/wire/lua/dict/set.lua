-- dict/set: put one entry.
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
--   value     bytes  encoded value
--   original  bytes  the original key; '' = the field is it
-- RETURNS  OK or CUT
-- ERRORS   GONE KEEP

-- @include lib/reserve_reply
-- @include lib/stored_bytes
local reply_cache, data = KEYS[1], KEYS[2]
local request, field, value, original = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local head = string.byte(value)
if head ~= LINKED and head ~= STAMPED and redis.call('EXISTS', data .. ':contains') == 0 then
  if redis.call('HSET', data, field, value) == 1 then
    -- @include lib/dict_index
    if not add_to_index(data, field, original) then
      -- @include lib/save_error
      return save_error(reply_cache, request, object_gone('dict'))
    end
  end
  return OK
end
-- @include lib/overwrite_reply
-- @include lib/dict_index
-- @include lib/refs
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('dict'))
end
local links = references(data)
if links.must_keep(value) then
  -- @include lib/save_error
  return save_error(reply_cache, request, links.refusal())
end
value = stored_form(value)
local old = redis.call('HGET', data, field)
if redis.call('HSET', data, field, value) == 1 then add_to_index(data, field, original) end
links.add(value)
return save_reply(reply_cache, request, links.remove(old))
