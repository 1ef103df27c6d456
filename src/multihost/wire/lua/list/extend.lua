-- list/extend: append elements. O(elements), chunks of 1000.
--
-- KEYS
--   record  string  last request of the caller
--   data    list    '', then the elements
--   data:refs hash    unnamed objects contained
-- ARGV
--   request      int    number of the request
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  '.'
-- ERRORS   GONE RETAIN

-- @include lib/reserve_reply
local record, data = KEYS[1], KEYS[2]
local request, linked = ARGV[1], ARGV[2]

local done = reserve_reply(record, request)
if done then return done[1] end
if linked == '0' then
  for i = 3, #ARGV, 1000 do
    if redis.call('RPUSHX', data, unpack(ARGV, i, math.min(i + 999, #ARGV))) == 0 then
      -- @include lib/save_error
      return save_error(record, request, object_gone('list'))
    end
  end
  return '.'
end
-- @include lib/refs
-- @include lib/list
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('list'))
end
local links = references(data)
for i = 3, #ARGV do
  if links.must_retain(ARGV[i]) then
    -- @include lib/save_error
    return save_error(record, request, RETAIN)
  end
end
push(data, ARGV, 3)
for i = 3, #ARGV do links.add(ARGV[i]) end
return '.'
