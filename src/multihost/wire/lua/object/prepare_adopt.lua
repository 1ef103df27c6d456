-- object/prepare_adopt: count what a kept container is about to take in.
--
-- KEYS
--   record  string  last request of the caller
--   data    any     the container
--   data:refs hash    unnamed objects contained
-- ARGV
--   request    int    number of the request
--   creating   int    1 = the container is named and perhaps not created yet
--   idents...  bytes  one for each reference
-- RETURNS  '.' and the epoch, '+' and the epoch if the container is not created yet; nil if it has a lease and needs
--          to own nothing
-- ERRORS   none

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, creating = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
if creating == '0' and redis.call('PTTL', data) ~= -1 then
  -- @include lib/save_error
  return save_nil(record, request)
end
local epoch = redis.call('HINCRBY', data .. ':refs', '', 1)
for i = 3, #ARGV do
  redis.call('HINCRBY', data .. ':refs', 'n:' .. ARGV[i], 1)
  redis.call('HSET', data .. ':refs', 'e:' .. ARGV[i], epoch)
end
return save_reply(record, request, (redis.call('EXISTS', data) == 1 and '.' or '+') .. epoch)
