-- array/set: replace one item.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         string  packed items
-- ARGV
--   request  int    number of the request
--   index    int    may be negative
--   item     bytes  packed, its length is the size of an item
-- RETURNS  OK; nil if the index is out of range
-- ERRORS   GONE

-- @include lib/reserve_reply
local reply_cache, data = KEYS[1], KEYS[2]
local request, index, item = ARGV[1], ARGV[2], ARGV[3]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local size = redis.call('STRLEN', data)
if size == 0 and redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('array'))
end
local at = tonumber(index) * #item
if at < 0 then at = at + size end
if at < 0 or at >= size then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
redis.call('SETRANGE', data, at, item)
return OK
