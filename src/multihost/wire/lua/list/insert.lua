-- list/insert: put an element before an index. O(distance from the head).
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         list    '', then the elements
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request  int    number of the request
--   index    int    as list.insert takes it
--   value    bytes  encoded value
-- RETURNS  OK
-- ERRORS   GONE RETAIN

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/tombstone
-- @include lib/errors
local reply_cache, data = KEYS[1], KEYS[2]
local request, index, value = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
local links = nil
if must_count(value) then
  links = references(data)
  if links.must_retain(value) then
    -- @include lib/save_error
    return save_error(reply_cache, request, MUST_RETAIN)
  end
end
index = tonumber(index)
if index < 0 then index = math.max(index + length, 0) end
if index >= length then
  redis.call('RPUSH', data, value)
elseif index == 0 then
  redis.call('LINSERT', data, 'AFTER', '', value)
else
  local after = redis.call('LINDEX', data, index + 1)
  redis.call('LSET', data, index + 1, TOMBSTONE)
  redis.call('LINSERT', data, 'BEFORE', TOMBSTONE, value)
  redis.call('LSET', data, index + 2, after)
end
if links then links.add(value) end
return save_reply(reply_cache, request, OK)
