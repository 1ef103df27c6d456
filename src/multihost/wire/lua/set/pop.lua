-- set/pop: remove any one member.
--
-- KEYS
--   record   string  last request of the caller
--   data     set     '' and the fields of the members
--   data:spelled hash    field -> first spelling of its member
-- ARGV
--   request  int  number of the request
-- RETURNS  '.' and the member as spelled; nil if there is none
-- ERRORS   GONE

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local some = redis.call('SRANDMEMBER', data, 2)
if #some == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('set'))
end
local field = some[1]
if field == '' then field = some[2] end
if not field then
  -- @include lib/save_error
  return save_nil(record, request)
end
redis.call('SREM', data, field)
local member = redis.call('HGET', data .. ':spelled', field) or field
redis.call('HDEL', data .. ':spelled', field)
return save_reply(record, request, '.' .. member)
