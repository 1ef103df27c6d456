-- list/set: replace one element. O(distance from the nearer end).
--
-- KEYS
--   record  string  last request of the caller
--   data    list    '', then the elements
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int    number of the request
--   index    int    may be negative
--   value    bytes  encoded value
-- RETURNS  '.' or '!' (objects were let go); nil if the index is out of range
-- ERRORS   GONE RETAIN

-- @include lib/reserve_reply
local record, data = KEYS[1], KEYS[2]
local request, index, value = ARGV[1], ARGV[2], ARGV[3]

local done = reserve_reply(record, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('list'))
end
local at = tonumber(index)
if at < 0 then at = at + length end
if at < 0 or at >= length then
  -- @include lib/save_error
  return save_nil(record, request)
end
at = at + 1
if string.byte(value) ~= 64 and redis.call('EXISTS', data .. ':refs') == 0 then
  redis.call('LSET', data, at, value)
  return '.'
end
-- @include lib/overwrite_reply
-- @include lib/refs
local links = references(data)
if links.must_retain(value) then
  -- @include lib/save_error
  return save_error(record, request, RETAIN)
end
local old = redis.call('LINDEX', data, at)
redis.call('LSET', data, at, value)
links.add(value)
return save_reply(record, request, links.remove(old))
