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

-- @include lib/once
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = answered(record, request)
if done then return done[1] end
local some = redis.call('SRANDMEMBER', data, 2)
if #some == 0 then
  -- @include lib/refuse
  return refuse(record, request, gone('set'))
end
local field = some[1]
if field == '' then field = some[2] end
if not field then
  -- @include lib/refuse
  return nothing(record, request)
end
redis.call('SREM', data, field)
local member = redis.call('HGET', data .. ':spelled', field) or field
redis.call('HDEL', data .. ':spelled', field)
return answer(record, request, '.' .. member)
