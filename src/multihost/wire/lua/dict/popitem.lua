-- dict/popitem: remove the entry that was inserted last.
--
-- KEYS
--   record   string  last request of the caller
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int  number of the request
-- RETURNS  '.' or '!' (objects were let go), length of the key, a space, the key as spelled, the value; nil if empty
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/linked
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local field = redis.call('ZREVRANGE', data .. ':index', 0, 0)[1]
if not field then
  -- @include lib/save_error
  return save_error(record, request, object_gone('dict'))
end
if field == '' then
  -- @include lib/save_error
  return save_nil(record, request)
end
local value = redis.call('HGET', data, field)
local key = redis.call('HGET', data .. ':spelled', field) or field
redis.call('HDEL', data, field)
redis.call('ZREM', data .. ':index', field)
redis.call('HDEL', data .. ':spelled', field)
local entry = #key .. ' ' .. key .. value
if not is_linked(value) then return save_reply(record, request, '.' .. entry) end
-- @include lib/refs
return save_reply(record, request, references(data).remove(value) .. entry)
