-- value/replace: replace the value if it is still the expected one.
--
-- KEYS
--   record  string  last request of the caller
--   data    hash    'v' -> value
--   data:refs hash    unnamed objects contained
-- ARGV
--   request   int    number of the request
--   expected  bytes  encoded value
--   value     bytes  encoded value
-- RETURNS  '.' or '!' (objects were let go) if replaced; nil if another value is there
-- ERRORS   GONE RETAIN

-- @include lib/reply_cache
-- @include lib/refs
local record, data = KEYS[1], KEYS[2]
local request, expected, value = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local old = redis.call('HGET', data, 'v')
if not old then
  -- @include lib/save_error
  return save_error(record, request, object_gone('value'))
end
if old ~= expected then
  -- @include lib/save_error
  return save_nil(record, request)
end
local links = references(data)
if links.must_retain(value) then
  -- @include lib/save_error
  return save_error(record, request, RETAIN)
end
redis.call('HSET', data, 'v', value)
links.add(value)
return save_reply(record, request, links.remove(old))
