-- collect/roots: mark what living processes hold, a piece at a time. Idempotent. O(500).
--
-- KEYS
--   names               hash  names of the partition, which says which one it is
--   partition:kept      zset  objects without a lease
--   partition:held      zset  until when they are held
--   partition:epoch     hash  EPOCH
--   partition:u:<data>  any   the objects
-- ARGV
--   epoch   int  of this collection
--   cursor  int  where to go on; 0 = at the start
--   maker   bytes  what the objects start with that are not marked; '' = all are
-- RETURNS  where to go on, 0 = that was all; nil if another collection has begun
-- ERRORS   none

-- @include lib/partition
-- @include lib/colours
-- @include lib/allow_oom
local names = KEYS[1]
local epoch, cursor, maker = ARGV[1], ARGV[2], ARGV[3]

local partition, time = partition_of(names), now()
if redis.call('HGET', partition .. 'epoch', EPOCH) ~= epoch then return false end
allow_oom(partition .. 'epoch')
local page = redis.call('ZSCAN', partition .. 'held', cursor, 'COUNT', 500)
for i = 1, #page[2], 2 do
  local is_ours = maker ~= '' and string.sub(page[2][i], 1, #maker) == maker
  if tonumber(page[2][i + 1]) >= time and not is_ours then mark(partition, page[2][i], epoch, true) end
end
return page[1]
