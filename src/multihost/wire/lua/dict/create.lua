-- dict/create: create a dict with its first entries, or attach to the one of that name.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   names            hash    names of the partition
--   data             hash    COUNTER; field -> encoded value
--   data:index       zset    field by number of its insertion
--   data:originals   hash    field -> original key, where it is not the field
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request     int    number of the request
--   name        bytes  '' = unnamed
--   kind        bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease       int    milliseconds, for an unnamed object
--   linked      int    1 = a value contains proxies
--   entries...  bytes  number of originals; field and original of each; field and value of each entry
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   KEEP

-- @include lib/create
-- @include lib/dict_fields
-- @include lib/linked_content
-- @include lib/dict_fill
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local keys = {data, data .. ':index', data .. ':originals'}
local first_value = 8 + 2 * tonumber(ARGV[6])
local refusal = linked == '1' and take_content(data, name, ARGV, first_value, 2)
local done = begin_create(reply_cache, request, names, name, {data, data .. ':contains', unpack(keys, 2, 3)}, refusal)
if done then return done[1] end
redis.call('HSET', data, COUNTER, 1)
redis.call('ZADD', data .. ':index', 0, '')
register(names, name, kind, lease, keys)
fill_dict(data, ARGV, 6)
if linked == '1' then count_content(data, ARGV, first_value, 2) end
return save_reply(reply_cache, request, OK)
