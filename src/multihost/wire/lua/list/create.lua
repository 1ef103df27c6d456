-- list/create: create a list with its first elements, or attach to the one of that name.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   names        hash    names of the partition
--   data         list    '', then the elements
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request      int    number of the request
--   name         bytes  '' = unnamed
--   kind         bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease        int    milliseconds, for an unnamed object
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   RETAIN

-- @include lib/create
-- @include lib/refs
-- @include lib/list
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local must_retain = linked == '1' and any_must_count(ARGV, 6, 1)
local done = begin_create(reply_cache, request, names, name, {data}, must_retain)
if done then return done[1] end
redis.call('RPUSH', data, '')
register(names, name, kind, lease, {data})
push(data, ARGV, 6)
if linked == '1' then
  local links = references(data)
  for i = 6, #ARGV do links.add(ARGV[i]) end
end
return save_reply(reply_cache, request, OK)
