-- list/splice: replace the elements from start to stop by others. O(elements behind start), chunks of 1000.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             list    '', then the elements
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request      int    number of the request
--   start        int    as in a slice, '' = None
--   stop         int    as in a slice, '' = None
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  OK or CUT
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/list
-- @include lib/slice
local reply_cache, data = KEYS[1], KEYS[2]
local request, start, stop, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
local first, last = bounds(length, start, stop, '')
last = math.max(first, last)
local links, old = nil, {}
if linked == '1' or redis.call('EXISTS', data .. ':contains') == 1 then
  links = references(data)
  for i = 5, #ARGV do
    if links.must_keep(ARGV[i]) then
      -- @include lib/save_error
      return save_error(reply_cache, request, links.refusal())
    end
  end
  store_forms(5, 1)
  if last > first then old = redis.call('LRANGE', data, first + 1, last) end
end
local tail = redis.call('LRANGE', data, last + 1, -1)
redis.call('LTRIM', data, 0, first)
push(data, ARGV, 5)
push(data, tail, 1)
if not links then return save_reply(reply_cache, request, OK) end
for i = 5, #ARGV do links.add(ARGV[i]) end
for _, value in ipairs(old) do links.remove(value) end
return save_reply(reply_cache, request, links.code)
