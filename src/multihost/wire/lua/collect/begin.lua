-- collect/begin: begin a collection in a partition, or go on with one that has settled. Idempotent. O(1).
--
-- Two processes may have chosen the same epoch: one of them has begun, and the other one has not.
--
-- KEYS
--   names            hash  names of the partition, which says which one it is
--   partition:epoch  hash  EPOCH, SETTLED
-- ARGV
--   epoch  int  of this collection
--   again  int  1 = it has begun here before
-- RETURNS  the time of the partition in milliseconds; nil if another collection has begun
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
-- @include lib/epoch_fields
local names = KEYS[1]
local epoch, again = ARGV[1], ARGV[2]

local state = partition_of(names) .. 'epoch'
local last = tonumber(redis.call('HGET', state, EPOCH)) or 0
if last > tonumber(epoch) or (last == tonumber(epoch) and again ~= '1') then return false end
redis.call('HDEL', state, SETTLED)
redis.call('HSET', state, EPOCH, epoch)
redis.call('PERSIST', state)
return now()
