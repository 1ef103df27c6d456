-- set/create: create a set with its first members, or attach to the one of that name.
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   names           hash    names of the partition
--   data            set     canonical fields of the members, and ''
--   data:originals  hash    field -> original member, where it is not the field
-- ARGV
--   request     int    number of the request
--   name        bytes  '' = unnamed
--   kind        bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease       int    milliseconds, for an unnamed object
--   members...  bytes  number of originals; field and original of each; the fields
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   none

-- @include lib/create
-- @include lib/set
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local keys = {data, data .. ':originals'}
local done = begin_create(reply_cache, request, names, name, keys)
if done then return done[1] end
redis.call('SADD', data, '')
register(names, name, kind, lease, keys)
add_members(data, ARGV, 5)
return save_reply(reply_cache, request, OK)
