-- list/pop: remove one element and return it. O(distance from the nearer end).
--
-- KEYS
--   record  string  last request of the caller
--   data    list    '', then the elements
--   data:refs hash    unnamed objects contained
-- ARGV
--   request  int  number of the request
--   index    int  may be negative
-- RETURNS  '.' or '!' (objects were let go) and the value; nil if the index is out of range, 'empty' if there is none
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/linked
local record, data = KEYS[1], KEYS[2]
local request, index = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local length = redis.call('LLEN', data) - 1
if length < 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('list'))
end
if length == 0 then return save_reply(record, request, 'empty') end
local at = tonumber(index)
if at < 0 then at = at + length end
if at < 0 or at >= length then
  -- @include lib/save_error
  return save_nil(record, request)
end
at = at + 1
local value
if at == length then
  value = redis.call('RPOP', data)
else
  value = redis.call('LINDEX', data, at)
  redis.call('DEL', record) -- a full server accepts what follows a deletion
  redis.call('LSET', data, at, '\0')
  redis.call('LREM', data, at * 2 > length and -1 or 1, '\0')
end
if not is_linked(value) then return save_reply(record, request, '.' .. value) end
-- @include lib/refs
return save_reply(record, request, references(data).remove(value) .. value)
