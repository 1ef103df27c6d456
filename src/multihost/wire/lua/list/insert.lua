-- list/insert: put an element before an index. O(distance from the head).
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
--   request  int    number of the request
--   index    int    as list.insert takes it
--   value    bytes  encoded value
-- RETURNS  OK
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/tombstone
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
if is_linked(value) then
  links = references(data)
  if links.must_keep(value) then
    -- @include lib/save_error
    return save_error(reply_cache, request, links.refusal())
  end
  value = stored_form(value)
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
