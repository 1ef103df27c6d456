-- namespace/create: create a namespace with its first attributes, or attach to the one of that name.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   names        hash    names of the partition
--   data         hash    attribute -> encoded value, '' -> ''
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request        int    number of the request
--   name           bytes  '' = unnamed
--   kind           bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease          int    milliseconds, for an unnamed object
--   attributes...  bytes  name and value of each, fewer than 4000
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   RETAIN

-- @include lib/create
-- @include lib/refs
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = begin_create(reply_cache, request, names, name, {data}, any_must_count(ARGV, 6, 2))
if done then return done[1] end
redis.call('HSET', data, '', '')
register(names, name, kind, lease, {data})
for i = 5, #ARGV, 2 do
  redis.call('HSET', data, ARGV[i], ARGV[i + 1])
  if must_count(ARGV[i + 1]) then references(data).add(ARGV[i + 1]) end
end
return save_reply(reply_cache, request, OK)
