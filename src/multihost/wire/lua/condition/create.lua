-- condition/create: create a condition, or attach to the one of that name.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   names                      hash    names of the partition
--   data                       hash    GENERATION, FENCE
--   data:free                  list    the element of its own lock
--   data:refs                  hash    any
--   data:contains              hash    the lock, if that is an unnamed object
--   data:index                 any     remains of another object of that name, as all that follow
--   data:originals             any
--   data:items                 any
--   data:dead                  any
--   data:inflight:<in_flight>  any
--   data:held:<place>          any
--   data:given                 any
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  TYPE of the object, a line feed, then protocol, codec, type and lock for the names
--   lease    int    milliseconds, for an unnamed object
--   lock     bytes  '' = its own, else the reference to another object
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   KEEP

-- @include lib/create
-- @include lib/clear_remains
-- @include lib/condition_fields
-- @include lib/first_fence
-- @include lib/linked_content
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, lock = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local content = {lock}
local done = begin_create(reply_cache, request, names, name, {data}, take_content(data, name, content, 1, 1))
if done then return done[1] end
if name ~= '' then clear_remains(data) end
redis.call('HSET', data, GENERATION, '0', FENCE, first_fencing_token())
redis.call('RPUSH', data .. ':free', '1')
register(names, name, kind, lease, {data, data .. ':free'})
count_content(data, content, 1, 1)
return save_reply(reply_cache, request, OK)
