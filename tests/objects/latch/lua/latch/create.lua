-- latch/create: create a latch, or attach to the one of that name.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   names   hash    names of the partition
--   data    hash    'n' -> how often it is still to be counted down
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  protocol, codec, type and parameters
--   lease    int    milliseconds, for an unnamed latch
--   count    int    initial value
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   none

-- @include lib/create
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = begin_create(reply_cache, request, names, name, {data})
if done then return done[1] end
redis.call('HSET', data, 'n', count)
register(names, name, kind, lease, {data})
return save_reply(reply_cache, request, OK)
