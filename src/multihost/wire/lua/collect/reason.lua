-- collect/reason: whether a partition may have objects that nothing leads to any more. Idempotent.
--
-- Such an object was let go by a container, or by its last holder, since the last collection began.
--
-- KEYS
--   names            hash  names of the partition, which says which one it is
--   partition:kept   zset  objects without a lease
--   partition:held   zset  until when they are held
--   partition:cut    zset  when a container let go of them
--   partition:epoch  hash  EPOCH, SWEPT
--   partition:lists  hash  the sessions that have places
-- ARGV
--   lease  int  milliseconds for which what was let go counts as contained
-- RETURNS  EPOCH, SWEPT, highest epoch of an object, how many have no lease, how many of those are such ones, and how
--          many sessions have places
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
-- @include lib/epoch_fields
local names = KEYS[1]
local lease = ARGV[1]

local partition, time = partition_of(names), now()
local state = redis.call('HMGET', partition .. 'epoch', EPOCH, SWEPT)
local highest = redis.call('ZREVRANGE', partition .. 'kept', 0, 0, 'WITHSCORES')[2] or 0
local lapsed = redis.call('ZCOUNT', partition .. 'held', '-inf', '(' .. digits(time))
local cut = redis.call('ZCOUNT', partition .. 'cut', '-inf', '(' .. digits(time - lease))
local kept, lists = redis.call('ZCARD', partition .. 'kept'), redis.call('HLEN', partition .. 'lists')
return {tonumber(state[1]) or 0, tonumber(state[2]) or 0, math.floor(highest / 2), kept, lapsed + cut, lists}
