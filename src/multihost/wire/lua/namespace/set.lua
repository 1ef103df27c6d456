-- namespace/set: set one attribute.
--
-- KEYS
--   record  string  last request of the caller
--   data    hash    attribute -> value, '' -> ''
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int    number of the request
--   field    bytes  the attribute
--   value    bytes  encoded value
-- RETURNS  '.', or '!' if objects were let go
-- ERRORS   GONE RETAIN

-- @include lib/reserve_reply
local record, data = KEYS[1], KEYS[2]
local request, field, value = ARGV[1], ARGV[2], ARGV[3]

local done = reserve_reply(record, request)
if done then return done[1] end
local state = redis.call('EXISTS', data, data, data .. ':refs')
if state < 2 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('namespace'))
end
if state == 2 and string.byte(value) ~= 64 then
  redis.call('HSET', data, field, value)
  return '.'
end
-- @include lib/overwrite_reply
-- @include lib/refs
local links = references(data)
if links.must_retain(value) then
  -- @include lib/save_error
  return save_error(record, request, RETAIN)
end
local old = redis.call('HGET', data, field)
redis.call('HSET', data, field, value)
links.add(value)
return save_reply(record, request, links.remove(old))
