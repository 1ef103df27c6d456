-- collect/begin: begin a collection in a partition, or go on with one that has settled. Idempotent. O(1).
--
-- KEYS
--   names            hash  names of the partition, which says which one it is
--   partition:epoch  hash  EPOCH, SETTLED
-- ARGV
--   epoch  int  of this collection
-- RETURNS  the epoch of the partition, that one or a later, and its time in milliseconds
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
-- @include lib/epoch_fields
local names = KEYS[1]
local epoch = ARGV[1]

local state = partition_of(names) .. 'epoch'
local last = tonumber(redis.call('HGET', state, EPOCH) or 0)
if last > tonumber(epoch) then return {last, now()} end
redis.call('HDEL', state, SETTLED)
redis.call('HSET', state, EPOCH, epoch)
redis.call('PERSIST', state)
return {tonumber(epoch), now()}
