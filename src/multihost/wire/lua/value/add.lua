-- value/add: add to a number of at most 64 bits.
--
-- KEYS
--   record  string  last request of the caller
--   data    hash    'v' -> value
-- ARGV
--   request  int  number of the request
--   amount   int  decimal text
-- RETURNS  '.' and the sum; nil if the value is no such number, or the sum would not be
-- ERRORS   GONE

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, amount = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local value = redis.call('HGET', data, 'v')
if not value then
  -- @include lib/save_error
  return save_error(record, request, object_gone('value'))
end
if not string.find(value, '^-?%d+$') then
  -- @include lib/save_error
  return save_nil(record, request)
end
local sum = redis.pcall('HINCRBY', data, 'v', amount)
if type(sum) == 'table' then
  -- @include lib/save_error
  return save_nil(record, request)
end
return save_reply(record, request, '.' .. redis.call('HGET', data, 'v'))
