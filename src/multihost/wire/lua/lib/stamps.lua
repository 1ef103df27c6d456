-- lib/stamps: whether what a value refers to was kept recently enough for a container without a lease.

-- @include lib/clock
-- @include lib/epoch_fields
-- @include lib/stored
-- Return the epoch in which something must have been kept at least. A partition forgets its epoch some hours after its
-- last object went: then that is one of some hours ago.
local function least_epoch(partition)
  local epoch = redis.call('HGET', partition .. 'epoch', EPOCH)
  if epoch then return tonumber(epoch) end
  return math.max(math.floor(now() / FORGOTTEN) - 1, 0) * FORGOTTEN
end

-- Return the text of the error KEEP for a partition.
local function keep_first(partition)
  return 'KEEP ' .. digits(least_epoch(partition))
end

-- Return true if the stamp of a value is older than the epoch of a partition.
local function is_stale(partition, value)
  if not string.find(value, ';', 2, true) then return false end -- not written by multihost: it refers to nothing
  local stamp = string.match(value, '^#(%d+),')
  return not stamp or tonumber(stamp) < least_epoch(partition)
end
