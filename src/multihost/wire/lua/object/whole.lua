-- object/whole: note that everything that these objects contain is kept. Idempotent. O(objects), at most 100 a call.
--
-- They become black: a collection that began before has nothing to look for in them. So it ends, however fast clients
-- store new containers.
--
-- KEYS
--   data...            any   the objects, all of one partition
--   partition:kept     zset  their colour
--   partition:partial  set   they leave it
--   partition:epoch    hash  EPOCH
-- ARGV
--   stamp  int  the smallest epoch in which their contents were kept
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/partition
-- @include lib/colours
-- @include lib/passed_keys
local stamp = ARGV[1]

local partition = partition_of(KEYS[1])
local epoch = epoch_of(partition)
for i = 1, passed do
  local data = KEYS[i]
  local ident = string.sub(data, #partition + 1)
  redis.call('SREM', partition .. 'partial', ident)
  local colour = tonumber(redis.call('ZSCORE', partition .. 'kept', ident) or 0)
  if tonumber(stamp) >= epoch and colour == 2 * epoch then
    redis.call('ZADD', partition .. 'kept', 'XX', 'GT', digits(colour + 1), ident)
  end
end
return false
