-- list/delete_slice: remove the elements of an extended slice. O(list).
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
--   request  int  number of the request
--   start    int  as in a slice, '' = None
--   stop     int  as in a slice, '' = None
--   step     int  not 0
-- RETURNS  OK or CUT
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/tombstone
-- @include lib/allow_oom
-- @include lib/slice
local reply_cache, data = KEYS[1], KEYS[2]
local request, start, stop, step = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
local first, _, stride, size = bounds(length, start, stop, step)
if size == 0 then return save_reply(reply_cache, request, OK) end
local old = {}
local referring = redis.call('EXISTS', data .. ':contains') == 1
allow_oom(data .. ':contains')
for i = 0, size - 1 do
  local at = first + i * stride + 1
  if referring then old[#old + 1] = redis.call('LINDEX', data, at) end
  redis.call('LSET', data, at, TOMBSTONE)
end
redis.call('LREM', data, 0, TOMBSTONE)
if not referring then return save_reply(reply_cache, request, OK) end
local links = references(data)
for _, value in ipairs(old) do links.remove(value) end
return save_reply(reply_cache, request, links.code)
