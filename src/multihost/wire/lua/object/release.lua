-- object/release: put an object on a lease again that only its own contents own.
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
--   request    int    number of the request
--   lease      int    milliseconds
--   owners...  bytes  its owners, each with its epoch: with others it stays persistent
-- RETURNS  OK if it has a lease; OWNED; CONTENTS: what it has to disown, up to that epoch
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/keys
-- @include lib/contained
local reply_cache, data = KEYS[1], KEYS[2]
local request, lease = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('PTTL', data) ~= -1 then return save_reply(reply_cache, request, OK) end
local owners = data .. ':owners'
if redis.call('HLEN', owners) ~= (#ARGV - 2) / 2 then return save_reply(reply_cache, request, OWNED) end
for i = 3, #ARGV, 2 do
  if redis.call('HGET', owners, ARGV[i]) ~= ARGV[i + 1] then return save_reply(reply_cache, request, OWNED) end
end
redis.call('DEL', owners)
local contained = release_contained(data)
for _, key in ipairs(keys_of(data)) do redis.call('PEXPIRE', key, lease) end
return save_reply(reply_cache, request, contained)
