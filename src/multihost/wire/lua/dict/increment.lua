-- dict/increment: add to a number of at most 64 bits; a missing one counts as 0.
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            hash    COUNTER; field -> encoded value
--   data:index      zset    field by number of its insertion
--   data:originals  hash    field -> original key, where it is not the field
-- ARGV
--   request   int    number of the request
--   field     bytes  canonical key
--   amount    int    decimal text
--   original  bytes  the original key; '' = the field is it
-- RETURNS  OK and the sum; nil if the value is no such number, or the sum would not be
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/dict_index
local reply_cache, data = KEYS[1], KEYS[2]
local request, field, amount, original = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local value = redis.call('HGET', data, field)
if not value then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/save_error
    return save_error(reply_cache, request, object_gone('dict'))
  end
  redis.call('HSET', data, field, amount)
  add_to_index(data, field, original)
  return save_reply(reply_cache, request, OK .. amount)
end
if not string.find(value, '^-?%d+$') then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local sum = redis.pcall('HINCRBY', data, field, amount)
if type(sum) == 'table' then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
return save_reply(reply_cache, request, OK .. redis.call('HGET', data, field))
