-- list/pop: remove one element and return it. O(distance from the nearer end).
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
--   index    int  may be negative
-- RETURNS  OK or CUT, and the value; EMPTY; nil if the index is out of range
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/stored
local reply_cache, data = KEYS[1], KEYS[2]
local request, index = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
if length == 0 then return save_reply(reply_cache, request, EMPTY) end
local at = tonumber(index)
if at < 0 then at = at + length end
if at < 0 or at >= length then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
at = at + 1
local value
if at == length then
  value = redis.call('RPOP', data)
else
  value = redis.call('LINDEX', data, at)
  -- @include lib/allow_oom
  -- @include lib/tombstone
  allow_oom(data .. ':contains')
  redis.call('LSET', data, at, TOMBSTONE)
  redis.call('LREM', data, at * 2 > length and -1 or 1, TOMBSTONE)
end
if not is_linked(value) then return save_reply(reply_cache, request, OK .. value) end
-- @include lib/refs
return save_reply(reply_cache, request, references(data).remove(value) .. value)
