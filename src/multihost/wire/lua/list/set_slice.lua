-- list/set_slice: replace the elements of an extended slice, one by one. O(elements * distance).
--
-- KEYS
--   record  string  last request of the caller
--   data    list    '', then the elements
--   data:refs hash    unnamed objects contained
-- ARGV
--   request      int    number of the request
--   start        int    as in a slice, '' = None
--   stop         int    as in a slice, '' = None
--   step         int    not 0
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  '.' or '!' (objects were let go); '#' and the size of the slice if there are not as many elements
-- ERRORS   GONE RETAIN

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/slice
local record, data = KEYS[1], KEYS[2]
local request, start, stop, step, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('list'))
end
local first, _, stride, size = bounds(length, start, stop, step)
if size ~= #ARGV - 5 then return save_reply(record, request, '#' .. size) end
local links, old = nil, {}
if linked == '1' or redis.call('EXISTS', data .. ':refs') == 1 then
  links = references(data)
  for i = 6, #ARGV do
    if links.must_retain(ARGV[i]) then
      -- @include lib/save_error
      return save_error(record, request, RETAIN)
    end
  end
end
for i = 0, size - 1 do
  local at = first + i * stride + 1
  if links then old[#old + 1] = redis.call('LINDEX', data, at) end
  redis.call('LSET', data, at, ARGV[6 + i])
end
if not links then return save_reply(record, request, '.') end
for i = 6, #ARGV do links.add(ARGV[i]) end
for _, value in ipairs(old) do links.remove(value) end
return save_reply(record, request, links.flag)
