-- object/disown: remove an owner of an object. Without any owner it lives on a lease again.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   data                       any     the object
--   data:index                 zset    its order
--   data:originals             hash    its original keys or members
--   data:refs                  hash    references to unnamed objects
--   data:owners                hash    owner -> epoch
--   data:items                 any     items of a queue
--   data:dead                  list    dead letters of a queue
--   data:inflight:<in_flight>  list    items that a consumer has in flight
--   data:free                  list    free elements of a lock or a semaphore
--   data:held:<place>          list    what a session holds
-- ARGV
--   request  int    number of the request
--   owner    bytes  ident of the owner
--   epoch    int    in which the owner had taken it in; a later one remains
--   lease    int    milliseconds
-- RETURNS  OK; OWNED; CONTENTS: what it has to disown, up to that epoch
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/keys
-- @include lib/contained
local reply_cache, data = KEYS[1], KEYS[2]
local request, owner, epoch, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local last = redis.call('HGET', data .. ':owners', owner)
if not last or tonumber(last) > tonumber(epoch) then return save_reply(reply_cache, request, OK) end
redis.call('HDEL', data .. ':owners', owner)
if redis.call('HLEN', data .. ':owners') > 0 then return save_reply(reply_cache, request, OWNED) end
local contained = release_contained(data)
for _, key in ipairs(keys_of(data)) do redis.call('PEXPIRE', key, lease) end
return save_reply(reply_cache, request, contained)
