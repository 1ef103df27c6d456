-- list/set_slice: replace the elements of an extended slice, one by one. O(elements * distance).
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
--   step         int    not 0
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  OK or CUT; WRONG_SIZE and the size of the slice
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/slice
local reply_cache, data = KEYS[1], KEYS[2]
local request, start, stop, step, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
local first, _, stride, size = bounds(length, start, stop, step)
if size ~= #ARGV - 5 then return save_reply(reply_cache, request, WRONG_SIZE .. size) end
local links, old = nil, {}
if linked == '1' or redis.call('EXISTS', data .. ':contains') == 1 then
  links = references(data)
  for i = 6, #ARGV do
    if links.must_keep(ARGV[i]) then
      -- @include lib/save_error
      return save_error(reply_cache, request, links.refusal())
    end
  end
  store_forms(6, 1)
end
for i = 0, size - 1 do
  local at = first + i * stride + 1
  if links then old[#old + 1] = redis.call('LINDEX', data, at) end
  redis.call('LSET', data, at, ARGV[6 + i])
end
if not links then return save_reply(reply_cache, request, OK) end
for i = 6, #ARGV do links.add(ARGV[i]) end
for _, value in ipairs(old) do links.remove(value) end
return save_reply(reply_cache, request, links.code)
