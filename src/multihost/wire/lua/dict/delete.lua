-- dict/delete: remove one entry.
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
--   request  int    number of the request
--   field    bytes  canonical key
-- RETURNS  OK or CUT; nil if there is no such key
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/stored
local reply_cache, data = KEYS[1], KEYS[2]
local request, field = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local old = redis.call('HGET', data, field)
if not old then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/save_error
    return save_error(reply_cache, request, object_gone('dict'))
  end
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
redis.call('HDEL', data, field)
redis.call('ZREM', data .. ':index', field)
redis.call('HDEL', data .. ':originals', field)
if not is_linked(old) then return save_reply(reply_cache, request, OK) end
-- @include lib/refs
return save_reply(reply_cache, request, references(data).remove(old))
