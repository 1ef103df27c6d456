-- object/abort_adopt: uncount what a container was prepared to take in, and does not.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         any     the container
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request    int    number of the request
--   idents...  bytes  one for each reference
-- RETURNS  OK
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/refs_fields
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local refs = data .. ':refs'
local has_lease = redis.call('PTTL', data) >= 0
allow_oom(refs)
for i = 2, #ARGV do
  local number = redis.call('HGET', refs, COUNT .. ARGV[i])
  if number and tonumber(number) > 0 then number = redis.call('HINCRBY', refs, COUNT .. ARGV[i], -1) end
  if has_lease and number == 0 then redis.call('HDEL', refs, COUNT .. ARGV[i], EPOCH .. ARGV[i]) end
end
return save_reply(reply_cache, request, OK)
