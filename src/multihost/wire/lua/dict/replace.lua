-- dict/replace: put one entry if its value is still the expected one.
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
--   expected  bytes  '' = there must be none
--   value     bytes  encoded value
--   spelling  bytes  '' = the field spells the key
-- RETURNS  '.' or '!' (objects were let go) if replaced; nil if another value is there
-- ERRORS   GONE RETAIN

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/dict_index
local record, data = KEYS[1], KEYS[2]
local request, field, expected, value, spelling = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('dict'))
end
local old = redis.call('HGET', data, field)
if (old or '') ~= expected then
  -- @include lib/save_error
  return save_nil(record, request)
end
local links = references(data)
if links.must_retain(value) then
  -- @include lib/save_error
  return save_error(record, request, RETAIN)
end
if redis.call('HSET', data, field, value) == 1 then add_to_index(data, field, spelling) end
links.add(value)
return save_reply(record, request, links.remove(old))
