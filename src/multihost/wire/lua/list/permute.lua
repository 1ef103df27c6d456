-- list/permute: put the elements into another order. O(list), chunks of 1000. Runs while the data is watched.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         list    '', then the elements
-- ARGV
--   request   int  number of the request
--   order...  int  for each place the index of the element that goes there
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/list
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('list'))
end
local old = redis.call('LRANGE', data, 1, -1)
local new = {}
for i = 2, #ARGV do new[i - 1] = old[ARGV[i] + 1] end
redis.call('LTRIM', data, 0, 0)
push(data, new, 1)
return save_reply(reply_cache, request, OK)
