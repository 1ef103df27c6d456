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

-- @include lib/reply_cache
-- @include lib/refs
local record, data = KEYS[1], KEYS[2]
local request, field = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local old = redis.call('HGET', data, field)
if not old then
  if redis.call('EXISTS', data) == 0 then
    -- @include lib/save_error
    return save_error(record, request, object_gone('namespace'))
  end
  -- @include lib/save_error
  return save_nil(record, request)
end
redis.call('HDEL', data, field)
return save_reply(record, request, references(data).remove(old))
