-- array/splice: replace the items of a slice. O(array) if the length changes, else O(slice).
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         string  packed items
-- ARGV
--   request  int    number of the request
--   start    int    as in a slice, '' = None
--   stop     int    as in a slice, '' = None
--   step     int    as in a slice, '' = None
--   width    int    bytes of an item
--   items    bytes  packed items
-- RETURNS  OK; WRONG_SIZE and the size of the extended slice
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/slice
local reply_cache, data = KEYS[1], KEYS[2]
local request, start, stop, step, width, items = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local length = redis.call('STRLEN', data)
if length == 0 and redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('array'))
end
width = tonumber(width)
local first, last, stride, size = bounds(length / width, start, stop, step)
if stride == 1 then
  last = math.max(first, last)
  if (last - first) * width == #items then
    if #items > 0 then redis.call('SETRANGE', data, first * width, items) end
  else
    local old = redis.call('GET', data)
    local new = string.sub(old, 1, first * width) .. items .. string.sub(old, last * width + 1)
    redis.call('SET', data, new, 'KEEPTTL')
  end
elseif #items == 0 then  -- as array.array does it: no items for an extended slice remove it
  local old, removed, kept = redis.call('GET', data), {}, {}
  for i = 0, size - 1 do removed[first + i * stride] = true end
  for i = 0, length / width - 1 do
    if not removed[i] then kept[#kept + 1] = string.sub(old, i * width + 1, (i + 1) * width) end
  end
  redis.call('SET', data, table.concat(kept), 'KEEPTTL')
else
  if size * width ~= #items then return save_reply(reply_cache, request, WRONG_SIZE .. size) end
  for i = 0, size - 1 do
    redis.call('SETRANGE', data, (first + i * stride) * width, string.sub(items, i * width + 1, (i + 1) * width))
  end
end
return save_reply(reply_cache, request, OK)
