-- namespace/delete: remove one attribute.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    attribute -> encoded value, '' -> ''
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request  int    number of the request
--   field    bytes  the attribute
-- RETURNS  OK or CUT; nil if there is no such attribute
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/refs
local reply_cache, data = KEYS[1], KEYS[2]
local request, field = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local old = redis.call('HGET', data, field)
if not old then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/save_error
    return save_error(reply_cache, request, object_gone('namespace'))
  end
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
redis.call('HDEL', data, field)
return save_reply(reply_cache, request, references(data).remove(old))
