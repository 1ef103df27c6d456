-- list/multiply: repeat the elements. O(new list), chunks of 1000.
--
-- KEYS
--   record  string  last request of the caller
--   data    list    '', then the elements
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int  number of the request
--   times    int  0 or less removes all
-- RETURNS  '.', or '!' if objects were let go, 'long' if no list can be that long
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/list
local record, data = KEYS[1], KEYS[2]
local request, times = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('list'))
end
times = tonumber(times)
local flag = '.'
if times < 1 then
  flag = references(data).remove_all()
  redis.call('LTRIM', data, 0, 0)
elseif times > 1 then
  local elements = redis.call('LRANGE', data, 1, -1)
  if #elements == 0 then times = 1 end
  if #elements * times > 4294967295 then return 'long' end
  for _ = 2, times do push(data, elements, 1) end
  if redis.call('EXISTS', data .. ':refs') == 1 then references(data).multiply(elements, times - 1) end
end
return save_reply(record, request, flag)
