-- object/abort_adopt: a container does not take in what was counted for it.
--
-- KEYS
--   record     string  last request of the caller
--   data       any     the container
--   data:refs  hash    unnamed objects contained
-- ARGV
--   request    int    number of the request
--   idents...  bytes  one for each reference
-- RETURNS  '.'
-- ERRORS   none

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local refs = data .. ':refs'
local leased = redis.call('PTTL', data) >= 0
redis.call('HDEL', refs, 'n:') -- a full server accepts what follows a deletion
for i = 2, #ARGV do
  local number = redis.call('HGET', refs, 'n:' .. ARGV[i])
  if number and tonumber(number) > 0 then number = redis.call('HINCRBY', refs, 'n:' .. ARGV[i], -1) end
  if leased and number == 0 then redis.call('HDEL', refs, 'n:' .. ARGV[i], 'e:' .. ARGV[i]) end
end
return save_reply(record, request, '.')
