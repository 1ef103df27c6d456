-- object/prepare_adopt: count what a persistent container is about to take in.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         any     the container
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request    int    number of the request
--   creating   int    1 = the container is named and may not be created yet
--   idents...  bytes  one for each reference
-- RETURNS  OK or NOT_CREATED, and the epoch; nil if the container has a lease and need not own anything
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/refs_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, creating = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if creating == '0' and redis.call('PTTL', data) ~= -1 then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local epoch = redis.call('HINCRBY', data .. ':refs', LAST_EPOCH, 1)
for i = 3, #ARGV do
  redis.call('HINCRBY', data .. ':refs', COUNT .. ARGV[i], 1)
  redis.call('HSET', data .. ':refs', EPOCH .. ARGV[i], epoch)
end
return save_reply(reply_cache, request, (redis.call('EXISTS', data) == 1 and OK or NOT_CREATED) .. epoch)
