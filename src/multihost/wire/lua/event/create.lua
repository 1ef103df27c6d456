-- event/create: create an event, or attach to the one of that name.
--
-- KEYS
--   record  string  last request of the caller
--   names   hash    the names of the partition
--   data    hash    's' -> '1' = set; 'n' -> how often it was set
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  protocol, type and parameters
--   lease    int    milliseconds, for an unnamed event
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/create
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
if name ~= '' and redis.call('EXISTS', data) > 0 then
  redis.call('UNLINK', data)
end
redis.call('HSET', data, 's', '0', 'n', '0')
register(names, name, kind, lease, {data})
return save_reply(record, request, '.')
