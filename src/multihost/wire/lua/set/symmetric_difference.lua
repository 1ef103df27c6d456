-- set/symmetric_difference: remove the given members that are there and add those that are not. O(given).
--
-- KEYS
--   record   string  last request of the caller
--   data     set     '' and the fields of the members
--   data:spelled hash    field -> first spelling of its member
-- ARGV
--   request     int    number of the request
--   members...  bytes  number of spellings; field, spelling of each; the fields
-- RETURNS  '.'
-- ERRORS   GONE

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('set'))
end
local start = 3 + 2 * tonumber(ARGV[2])
local spelling = {}
for i = 3, start - 1, 2 do spelling[ARGV[i]] = ARGV[i + 1] end
for i = start, #ARGV do
  local field = ARGV[i]
  if redis.call('SREM', data, field) == 1 then
    redis.call('HDEL', data .. ':spelled', field)
  else
    redis.call('SADD', data, field)
    if spelling[field] then redis.call('HSET', data .. ':spelled', field, spelling[field]) end
  end
end
local left = redis.call('PTTL', data)
if left > 0 then redis.call('PEXPIRE', data .. ':spelled', left) end
return save_reply(record, request, '.')
