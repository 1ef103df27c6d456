-- set/clear: remove every member.
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            set     canonical fields of the members, and ''
--   data:originals  hash    field -> original member, where it is not the field
-- ARGV
--   request  int  number of the request
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/reply_cache
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local ttl = redis.call('PTTL', data)
if ttl == -2 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('set'))
end
redis.call('UNLINK', data, data .. ':originals')
redis.call('SADD', data, '')
if ttl >= 0 then redis.call('PEXPIRE', data, math.max(ttl, 1)) end
return save_reply(reply_cache, request, OK)
