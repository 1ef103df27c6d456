-- dict/increment: add to a number of at most 64 bits; a missing one counts as 0.
--
-- KEYS
--   record   string  last request of the caller
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
-- ARGV
--   request   int    number of the request
--   field     bytes  canonical key
--   amount    int    decimal text
--   spelling  bytes  '' = the field spells the key
-- RETURNS  '.' and the sum; nil if the value is no such number, or the sum would not be
-- ERRORS   GONE

-- @include lib/once
-- @include lib/place
local record, data = KEYS[1], KEYS[2]
local request, field, amount, spelling = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = answered(record, request)
if done then return done[1] end
local value = redis.call('HGET', data, field)
if not value then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/refuse
    return refuse(record, request, gone('dict'))
  end
  redis.call('HSET', data, field, amount)
  place(data, field, spelling)
  return answer(record, request, '.' .. amount)
end
if not string.find(value, '^-?%d+$') then
  -- @include lib/refuse
  return nothing(record, request)
end
local sum = redis.pcall('HINCRBY', data, field, amount)
if type(sum) == 'table' then
  -- @include lib/refuse
  return nothing(record, request)
end
return answer(record, request, '.' .. redis.call('HGET', data, field))
