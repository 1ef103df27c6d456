-- object/release: an object that only its own contents keep lives on a lease again.
--
-- KEYS
--   record        string  last request of the caller
--   data          any     the object
--   data:index    zset    its order
--   data:spelled  hash    its first spellings
--   data:refs     hash    unnamed objects it contains
--   data:owners   hash    owner -> epoch
--   data:items  any   those of a queue
--   data:dead  list  its dead letters
--   data:flight:<flight>  list  what a consumer took out of it
-- ARGV
--   request    int    number of the request
--   lease      int    milliseconds
--   owners...  bytes  its owners, each with its epoch: with others it is kept
-- RETURNS  '?' if it has other owners, else as object/disown
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/keys
-- @include lib/contained
local record, data = KEYS[1], KEYS[2]
local request, lease = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
if redis.call('PTTL', data) ~= -1 then return save_reply(record, request, '.') end
local owners = data .. ':owners'
if redis.call('HLEN', owners) ~= (#ARGV - 2) / 2 then return save_reply(record, request, '?') end
for i = 3, #ARGV, 2 do
  if redis.call('HGET', owners, ARGV[i]) ~= ARGV[i + 1] then return save_reply(record, request, '?') end
end
redis.call('DEL', owners)
local contained = release_contained(data)
for _, key in ipairs(keys_of(data)) do redis.call('PEXPIRE', key, lease) end
return save_reply(record, request, contained)
