-- set/symmetric_difference: remove the given members that the set has, and add the others. O(given).
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            set     canonical fields of the members, and ''
--   data:originals  hash    field -> original member, where it is not the field
-- ARGV
--   request     int    number of the request
--   members...  bytes  number of originals; field and original of each; the fields
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/reply_cache
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('set'))
end
local start = 3 + 2 * tonumber(ARGV[2])
local original = {}
for i = 3, start - 1, 2 do original[ARGV[i]] = ARGV[i + 1] end
for i = start, #ARGV do
  local field = ARGV[i]
  if redis.call('SREM', data, field) == 1 then
    redis.call('HDEL', data .. ':originals', field)
  else
    redis.call('SADD', data, field)
    if original[field] then redis.call('HSET', data .. ':originals', field, original[field]) end
  end
end
local ttl = redis.call('PTTL', data)
if ttl > 0 then redis.call('PEXPIRE', data .. ':originals', ttl) end
return save_reply(reply_cache, request, OK)
