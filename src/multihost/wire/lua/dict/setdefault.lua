-- dict/setdefault: return the value of a key, after putting it if there is none.
--
-- KEYS
--   record   string  last request of the caller
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
--   data:refs hash    unnamed objects contained
-- ARGV
--   request   int    number of the request
--   field     bytes  canonical key
--   value     bytes  encoded value
--   spelling  bytes  '' = the field spells the key
-- RETURNS  '.' put, '=' and the value that was there
-- ERRORS   GONE RETAIN

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/dict_index
local record, data = KEYS[1], KEYS[2]
local request, field, value, spelling = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local old = redis.call('HGET', data, field)
if old then return save_reply(record, request, '=' .. old) end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('dict'))
end
local links = nil
if string.byte(value) == 64 then
  links = references(data)
  if links.must_retain(value) then
    -- @include lib/save_error
    return save_error(record, request, RETAIN)
  end
end
redis.call('HSET', data, field, value)
add_to_index(data, field, spelling)
if links then links.add(value) end
return save_reply(record, request, '.')
