-- dict/popitem: remove the entry that was inserted last.
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
--   request  int  number of the request
-- RETURNS  OK or CUT, length of the field and of the original key, each with a space behind it, the field, the
--          original key, the value; nil if the dict is empty
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/stored
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local field = redis.call('ZREVRANGE', data .. ':index', 0, 0)[1]
if not field then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('dict'))
end
if field == '' then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local value = redis.call('HGET', data, field)
local original = redis.call('HGET', data .. ':originals', field) or ''
redis.call('HDEL', data, field)
redis.call('ZREM', data .. ':index', field)
redis.call('HDEL', data .. ':originals', field)
local entry = #field .. ' ' .. #original .. ' ' .. field .. original .. value
if not is_linked(value) then return save_reply(reply_cache, request, OK .. entry) end
-- @include lib/refs
return save_reply(reply_cache, request, references(data).remove(value) .. entry)
