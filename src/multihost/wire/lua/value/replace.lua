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

-- @include lib/once
-- @include lib/refs
local record, data = KEYS[1], KEYS[2]
local request, expected, value = ARGV[1], ARGV[2], ARGV[3]

local done = answered(record, request)
if done then return done[1] end
local old = redis.call('HGET', data, 'v')
if not old then
  -- @include lib/refuse
  return refuse(record, request, gone('value'))
end
if old ~= expected then
  -- @include lib/refuse
  return nothing(record, request)
end
local links = references(data)
if links.must_retain(value) then
  -- @include lib/refuse
  return refuse(record, request, RETAIN)
end
redis.call('HSET', data, 'v', value)
links.take_in(value)
return answer(record, request, links.let_go(old))
