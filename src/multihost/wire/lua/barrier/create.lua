-- barrier/create: create a barrier, or attach to the one of that name.
--
-- KEYS
--   record     string  last request of the caller
--   names      hash    the names of the partition
--   data       hash    'n' -> parties; 'g' -> generation; 'c' -> arrived; 's' -> '' or 'broken'; 'a' -> action
--   data:refs  hash    unnamed objects that the action refers to
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  protocol, type and parameters
--   lease    int    milliseconds, for an unnamed barrier
--   parties  int    how many
--   action   bytes  encoded callable; '' = none
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   RETAIN

-- @include lib/reply_cache
-- @include lib/create
-- @include lib/refs
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, parties, action = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
if name ~= '' and string.byte(action) == 64 then
  -- @include lib/save_error
  return save_error(record, request, RETAIN)
end
if name ~= '' and redis.call('EXISTS', data) > 0 then
  redis.call('UNLINK', data)
end
redis.call('HSET', data, 'n', parties, 'g', '0', 'c', '0', 's', '', 'a', action)
register(names, name, kind, lease, {data})
if string.byte(action) == 64 then references(data).add(action) end
return save_reply(record, request, '.')
