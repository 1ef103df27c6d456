-- value/create: create a value, or attach to the one of that name.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   names        hash    names of the partition
--   data         hash    VALUE
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease    int    milliseconds, for an unnamed object
--   value    bytes  encoded value
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   RETAIN

-- @include lib/create
-- @include lib/value_fields
-- @include lib/refs
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, value = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = begin_create(reply_cache, request, names, name, {data}, must_count(value))
if done then return done[1] end
redis.call('HSET', data, VALUE, value)
register(names, name, kind, lease, {data})
if must_count(value) then references(data).add(value) end
return save_reply(reply_cache, request, OK)
