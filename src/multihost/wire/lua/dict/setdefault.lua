-- dict/setdefault: return the value of a key; store one if there is none.
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
-- RETURNS  OK if it was stored; EXISTS and the value that exists
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/dict_index
local reply_cache, data = KEYS[1], KEYS[2]
local request, field, value, original = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local old = redis.call('HGET', data, field)
if old then return save_reply(reply_cache, request, EXISTS .. old) end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('dict'))
end
local links = nil
if is_linked(value) then
  links = references(data)
  if links.must_keep(value) then
    -- @include lib/save_error
    return save_error(reply_cache, request, links.refusal())
  end
  value = stored_form(value)
end
redis.call('HSET', data, field, value)
add_to_index(data, field, original)
if links then links.add(value) end
return save_reply(reply_cache, request, OK)
