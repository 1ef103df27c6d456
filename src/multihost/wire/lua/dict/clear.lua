-- dict/clear: remove every entry.
--
-- KEYS
--   reply_cache         string  last request of the connection and its reply
--   data                hash    COUNTER; field -> encoded value
--   data:index          zset    field by number of its insertion
--   data:originals      hash    field -> original key, where it is not the field
--   data:contains       hash    how often it contains unnamed objects
--   partition:epoch     hash    the epochs of the partition
--   partition:cut       zset    when a container without a lease let go of an object
--   partition:tops      set     named objects that contain unnamed ones
--   partition:kept      zset    objects without a lease
--   partition:u:<data>  any     what it let go of, if that is very much
-- ARGV
--   request  int  number of the request
-- RETURNS  OK or CUT
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/dict_fields
-- @include lib/refs
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local ttl = redis.call('PTTL', data)
if ttl == -2 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('dict'))
end
local code = references(data).remove_all()
redis.call('UNLINK', data, data .. ':index', data .. ':originals')
redis.call('HSET', data, COUNTER, 1)
redis.call('ZADD', data .. ':index', 0, '')
if ttl >= 0 then
  redis.call('PEXPIRE', data, math.max(ttl, 1))
  redis.call('PEXPIRE', data .. ':index', math.max(ttl, 1))
end
return save_reply(reply_cache, request, code)
