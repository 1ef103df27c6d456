-- list/create: create a list with its first elements, or attach to the one of that name.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   names            hash    names of the partition
--   data             list    '', then the elements
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request      int    number of the request
--   name         bytes  '' = unnamed
--   kind         bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease        int    milliseconds, for an unnamed object
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   KEEP

-- @include lib/create
-- @include lib/linked_content
-- @include lib/list
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local refusal = linked == '1' and take_content(data, name, ARGV, 6, 1)
local done = begin_create(reply_cache, request, names, name, {data, data .. ':contains'}, refusal)
if done then return done[1] end
redis.call('RPUSH', data, '')
register(names, name, kind, lease, {data})
push(data, ARGV, 6)
if linked == '1' then count_content(data, ARGV, 6, 1) end
return save_reply(reply_cache, request, OK)
