-- dict/clear: remove every entry.
--
-- KEYS
--   record   string  last request of the caller
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int  number of the request
-- RETURNS  '.', or '!' if objects were let go
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/refs
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local left = redis.call('PTTL', data)
if left == -2 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('dict'))
end
local flag = references(data).remove_all()
redis.call('UNLINK', data, data .. ':index', data .. ':spelled')
redis.call('HSET', data, '', 1)
redis.call('ZADD', data .. ':index', 0, '')
if left >= 0 then
  redis.call('PEXPIRE', data, math.max(left, 1))
  redis.call('PEXPIRE', data .. ':index', math.max(left, 1))
end
return save_reply(record, request, flag)
