-- array/create: create an array, or attach to the one of that name.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   names        hash    names of the partition
--   data         string  packed items
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease    int    milliseconds, for an unnamed object
--   items    bytes  packed items
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   none

-- @include lib/create
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, items = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = begin_create(reply_cache, request, names, name, {data})
if done then return done[1] end
redis.call('SET', data, items)
register(names, name, kind, lease, {data})
return save_reply(reply_cache, request, OK)
