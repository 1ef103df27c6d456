-- value/add: add to a number of at most 64 bits.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    VALUE
-- ARGV
--   request  int  number of the request
--   amount   int  decimal text
-- RETURNS  OK and the sum; nil if the value is no such number, or the sum would not be
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/value_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, amount = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local value = redis.call('HGET', data, VALUE)
if not value then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('value'))
end
if not string.find(value, '^-?%d+$') then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local sum = redis.pcall('HINCRBY', data, VALUE, amount)
if type(sum) == 'table' then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
return save_reply(reply_cache, request, OK .. redis.call('HGET', data, VALUE))
