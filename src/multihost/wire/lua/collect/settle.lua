-- collect/settle: note that everything in use is marked: whoever comes with anything else from now on is refused.
-- Idempotent. O(log objects).
--
-- KEYS
--   names            hash  names of the partition, which says which one it is
--   partition:kept   zset  objects without a lease
--   partition:epoch  hash  EPOCH, SETTLED
-- ARGV
--   epoch  int  of this collection
-- RETURNS  1; 0 if something is grey; nil if another collection has begun
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
-- @include lib/epoch_fields
-- @include lib/allow_oom
local names = KEYS[1]
local epoch = ARGV[1]

local partition = partition_of(names)
if redis.call('HGET', partition .. 'epoch', EPOCH) ~= epoch then return false end
local grey = digits(2 * epoch)
if redis.call('ZCOUNT', partition .. 'kept', grey, grey) > 0 then return 0 end
allow_oom(partition .. 'epoch')
redis.call('HSET', partition .. 'epoch', SETTLED, epoch)
return 1
