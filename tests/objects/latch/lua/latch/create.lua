-- latch/create: create a latch, or attach to the one of that name.
--
-- KEYS
--   record  string  last request of the caller
--   names   hash    the names of the partition
--   data    hash    'n' -> how often it is still to be counted down
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  what lib/create stores
--   lease    int    milliseconds, for an unnamed latch
--   count    int    initial value
-- RETURNS  '.' created, '=' and the entry of what exists
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/create
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
redis.call('HSET', data, 'n', count)
register(names, name, kind, lease, {data})
return save_reply(record, request, '.')
