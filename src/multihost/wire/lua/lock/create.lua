-- lock/create: create a lock, or attach to the one of that name.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   names                      hash    names of the partition
--   data                       hash    TYPE, FENCE
--   data:free                  list    its only element
--   data:index                 any     remains of another object of that name, as all that follow
--   data:originals             any
--   data:refs                  any
--   data:items                 any
--   data:dead                  any
--   data:inflight:<in_flight>  any
--   data:held:<place>          any
--   data:given                 any
--   data:contains              hash    how often it contains unnamed objects
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease    int    milliseconds, for an unnamed object
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   none

-- @include lib/create
-- @include lib/clear_remains
-- @include lib/hold_fields
-- @include lib/first_fence
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = begin_create(reply_cache, request, names, name, {data})
if done then return done[1] end
if name ~= '' then clear_remains(data) end
redis.call('HSET', data, FENCE, first_fencing_token())
redis.call('RPUSH', data .. ':free', '1')
register(names, name, kind, lease, {data, data .. ':free'})
return save_reply(reply_cache, request, OK)
