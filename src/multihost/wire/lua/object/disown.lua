-- object/disown: an owner let an object go. Without any owner it lives on a lease again.
--
-- KEYS
--   record   string  last request of the caller
--   data     any     the object
--   data:index zset    its order
--   data:spelled hash    its first spellings
--   data:refs hash    unnamed objects it contains
--   data:owners hash    owner -> epoch
--   data:items  any   those of a queue
--   data:dead  list  its dead letters
--   data:flight:<flight>  list  what a consumer took out of it
-- ARGV
--   request  int    number of the request
--   owner    bytes  ident of the owner
--   epoch    int    when the owner had taken it in; a later one counts
--   lease    int    milliseconds
-- RETURNS  '.'; '?' if it has other owners; or ',' and an epoch and what it contains and has to disown, up to that
--          epoch, separated by commas
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/keys
-- @include lib/contained
local record, data = KEYS[1], KEYS[2]
local request, owner, epoch, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local last = redis.call('HGET', data .. ':owners', owner)
if not last or tonumber(last) > tonumber(epoch) then return save_reply(record, request, '.') end
redis.call('HDEL', data .. ':owners', owner)
if redis.call('HLEN', data .. ':owners') > 0 then return save_reply(record, request, '?') end
local contained = release_contained(data)
for _, key in ipairs(keys_of(data)) do redis.call('PEXPIRE', key, lease) end
return save_reply(record, request, contained)
