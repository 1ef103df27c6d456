-- array/create: create an array, or attach to the one of that name.
--
-- KEYS
--   record  string  last request of the caller
--   names   hash    the names of the partition
--   data    string  packed items
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  protocol, type and parameters
--   lease    int    milliseconds, for an unnamed array
--   items    bytes  packed items
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/create
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, items = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
redis.call('SET', data, items)
register(names, name, kind, lease, {data})
return save_reply(record, request, '.')
