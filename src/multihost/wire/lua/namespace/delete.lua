-- namespace/delete: remove one attribute.
--
-- KEYS
--   record  string  last request of the caller
--   data    hash    attribute -> value, '' -> ''
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int    number of the request
--   field    bytes  the attribute
-- RETURNS  '.' or '!' (objects were let go); nil if there is no such attribute
-- ERRORS   GONE

-- @include lib/once
-- @include lib/refs
local record, data = KEYS[1], KEYS[2]
local request, field = ARGV[1], ARGV[2]

local done = answered(record, request)
if done then return done[1] end
local old = redis.call('HGET', data, field)
if not old then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/refuse
    return refuse(record, request, gone('namespace'))
  end
  -- @include lib/refuse
  return nothing(record, request)
end
redis.call('HDEL', data, field)
return answer(record, request, references(data).let_go(old))
