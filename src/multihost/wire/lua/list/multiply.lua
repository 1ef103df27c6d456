-- list/multiply: repeat the elements. O(new list), chunks of 1000.
--
-- KEYS
--   reply_cache         string  last request of the connection and its reply
--   data                list    '', then the elements
--   data:contains       hash    how often it contains unnamed objects
--   partition:epoch     hash    the epochs of the partition
--   partition:cut       zset    when a container without a lease let go of an object
--   partition:tops      set     named objects that contain unnamed ones
--   partition:kept      zset    objects without a lease
--   partition:u:<data>  any     what it let go of, if that is very much
-- ARGV
--   request  int  number of the request
--   times    int  0 or less removes all
-- RETURNS  OK or CUT; TOO_LONG
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/list
local reply_cache, data = KEYS[1], KEYS[2]
local request, times = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
times = tonumber(times)
local code = OK
if times < 1 then
  code = references(data).remove_all()
  redis.call('LTRIM', data, 0, 0)
elseif times > 1 then
  local elements = redis.call('LRANGE', data, 1, -1)
  if #elements == 0 then times = 1 end
  if #elements * times > 4294967295 then return TOO_LONG end
  for _ = 2, times do push(data, elements, 1) end
  if redis.call('EXISTS', data .. ':contains') == 1 then
    local links = references(data)
    for _, value in ipairs(elements) do
      if is_linked(value) then links.count(value, times - 1) end
    end
  end
end
return save_reply(reply_cache, request, code)
