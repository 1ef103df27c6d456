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

-- @include lib/reply_cache
-- @include lib/dict_index
local record, data = KEYS[1], KEYS[2]
local request, field, amount, spelling = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local value = redis.call('HGET', data, field)
if not value then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/save_error
    return save_error(record, request, object_gone('dict'))
  end
  redis.call('HSET', data, field, amount)
  add_to_index(data, field, spelling)
  return save_reply(record, request, '.' .. amount)
end
if not string.find(value, '^-?%d+$') then
  -- @include lib/save_error
  return save_nil(record, request)
end
local sum = redis.pcall('HINCRBY', data, field, amount)
if type(sum) == 'table' then
  -- @include lib/save_error
  return save_nil(record, request)
end
return save_reply(record, request, '.' .. redis.call('HGET', data, field))
