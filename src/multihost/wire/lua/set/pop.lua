-- set/pop: remove an arbitrary member.
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            set     canonical fields of the members, and ''
--   data:originals  hash    field -> original member, where it is not the field
-- ARGV
--   request  int  number of the request
-- RETURNS  OK, length of the field, a space, the field, the original member; nil if there is none
-- ERRORS   GONE

-- @include lib/reply_cache
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local some = redis.call('SRANDMEMBER', data, 2)
if #some == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('set'))
end
local field = some[1]
if field == '' then field = some[2] end
if not field then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
redis.call('SREM', data, field)
local original = redis.call('HGET', data .. ':originals', field) or ''
redis.call('HDEL', data .. ':originals', field)
return save_reply(reply_cache, request, OK .. #field .. ' ' .. field .. original)
