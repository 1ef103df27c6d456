-- dict/delete: remove one entry.
--
-- KEYS
--   record   string  last request of the caller
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int    number of the request
--   field    bytes  canonical key
-- RETURNS  '.', or '!' if objects were let go; nil if there is no such key
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/linked
local record, data = KEYS[1], KEYS[2]
local request, field = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local old = redis.call('HGET', data, field)
if not old then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/save_error
    return save_error(record, request, object_gone('dict'))
  end
  -- @include lib/save_error
  return save_nil(record, request)
end
redis.call('HDEL', data, field)
redis.call('ZREM', data .. ':index', field)
redis.call('HDEL', data .. ':spelled', field)
if not is_linked(old) then return save_reply(record, request, '.') end
-- @include lib/refs
return save_reply(record, request, references(data).remove(old))
