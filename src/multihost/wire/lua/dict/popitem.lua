-- dict/popitem: remove the entry that was inserted last.
--
-- KEYS
--   record   string  last request of the caller
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int  number of the request
-- RETURNS  '.' or '!' (objects were let go), length of the key, a space, the key as spelled, the value; nil if empty
-- ERRORS   GONE

-- @include lib/once
-- @include lib/linked
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = answered(record, request)
if done then return done[1] end
local field = redis.call('ZREVRANGE', data .. ':index', 0, 0)[1]
if not field then
  -- @include lib/refuse
  return refuse(record, request, gone('dict'))
end
if field == '' then
  -- @include lib/refuse
  return nothing(record, request)
end
local value = redis.call('HGET', data, field)
local key = redis.call('HGET', data .. ':spelled', field) or field
redis.call('HDEL', data, field)
redis.call('ZREM', data .. ':index', field)
redis.call('HDEL', data .. ':spelled', field)
local entry = #key .. ' ' .. key .. value
if not is_linked(value) then return answer(record, request, '.' .. entry) end
-- @include lib/refs
return answer(record, request, references(data).let_go(value) .. entry)
