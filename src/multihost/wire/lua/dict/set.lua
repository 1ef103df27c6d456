-- dict/set: put one entry.
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
-- RETURNS  '.', or '!' if objects were let go
-- ERRORS   GONE RETAIN

-- @include lib/reserve_reply
local record, data = KEYS[1], KEYS[2]
local request, field, value, spelling = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = reserve_reply(record, request)
if done then return done[1] end
if string.byte(value) ~= 64 and redis.call('EXISTS', data .. ':refs') == 0 then
  if redis.call('HSET', data, field, value) == 1 then
    -- @include lib/dict_index
    if not add_to_index(data, field, spelling) then
      -- @include lib/save_error
      return save_error(record, request, object_gone('dict'))
    end
  end
  return '.'
end
-- @include lib/overwrite_reply
-- @include lib/dict_index
-- @include lib/refs
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('dict'))
end
local links = references(data)
if links.must_retain(value) then
  -- @include lib/save_error
  return save_error(record, request, RETAIN)
end
local old = redis.call('HGET', data, field)
if redis.call('HSET', data, field, value) == 1 then add_to_index(data, field, spelling) end
links.add(value)
return save_reply(record, request, links.remove(old))
