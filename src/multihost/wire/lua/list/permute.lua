-- list/permute: put the elements in another order. O(list), chunks of 1000. Runs while the data is watched.
--
-- KEYS
--   record  string  last request of the caller
--   data    list    '', then the elements
-- ARGV
--   request   int  number of the request
--   order...  int  for each place the index of the element that goes there
-- RETURNS  '.'
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/list
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('list'))
end
local old = redis.call('LRANGE', data, 1, -1)
local new = {}
for i = 2, #ARGV do new[i - 1] = old[ARGV[i] + 1] end
redis.call('LTRIM', data, 0, 0)
push(data, new, 1)
return save_reply(record, request, '.')
