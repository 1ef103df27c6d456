-- list/extend: append elements. O(elements), chunks of 1000.
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
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  OK
-- ERRORS   GONE KEEP

-- @include lib/reserve_reply
local reply_cache, data = KEYS[1], KEYS[2]
local request, linked = ARGV[1], ARGV[2]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
if linked == '0' then
  for i = 3, #ARGV, 1000 do
    if redis.call('RPUSHX', data, unpack(ARGV, i, math.min(i + 999, #ARGV))) == 0 then
      -- @include lib/save_error
      return save_error(reply_cache, request, object_gone('list'))
    end
  end
  return OK
end
-- @include lib/list
-- @include lib/refs
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
local links = references(data)
for i = 3, #ARGV do
  if links.must_keep(ARGV[i]) then
    -- @include lib/save_error
    return save_error(reply_cache, request, links.refusal())
  end
end
store_forms(3, 1)
push(data, ARGV, 3)
for i = 3, #ARGV do links.add(ARGV[i]) end
return OK
