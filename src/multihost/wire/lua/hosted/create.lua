-- hosted/create: register an object that a process hosts, or attach to the one of that name.
--
-- That of a dead host is replaced.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   names        hash    names of the partition
--   data         hash    HOST
-- ARGV
--   request    int    number of the request
--   name       bytes  '' = unnamed
--   kind       bytes  TYPE of the object, a line feed, then protocol, codec, type and host for the names
--   lease      int    milliseconds, for an unnamed object
--   host       bytes  ident of the host that has the object
--   dead_host  bytes  host whose object of that name is replaced; '' = none
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   none

-- @include lib/create
-- @include lib/hosted_fields
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, host, dead_host = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if dead_host ~= '' and redis.call('HGET', data, HOST) == dead_host then redis.call('UNLINK', data) end
done = begin_create(reply_cache, request, names, name, {data})
if done then return done[1] end
redis.call('HSET', data, HOST, host)
register(names, name, kind, lease, {data})
return save_reply(reply_cache, request, OK)
