-- set/clear: remove every member.
--
-- KEYS
--   record   string  last request of the caller
--   data     set     '' and the fields of the members
--   data:spelled hash    field -> first spelling of its member
-- ARGV
--   request  int  number of the request
-- RETURNS  '.'
-- ERRORS   GONE

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local left = redis.call('PTTL', data)
if left == -2 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('set'))
end
redis.call('UNLINK', data, data .. ':spelled')
redis.call('SADD', data, '')
if left >= 0 then redis.call('PEXPIRE', data, math.max(left, 1)) end
return save_reply(record, request, '.')
