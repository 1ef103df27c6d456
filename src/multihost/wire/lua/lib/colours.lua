-- lib/colours: what a collection knows of an object without a lease. White: nothing leads to it, as far as is known.
-- Grey: something does, and what it contains is not marked yet. Black: that is marked, too.

-- @include lib/clock
-- @include lib/epoch_fields
-- Return the epoch of a partition, 0 before the first one, and whether everything in use is marked in it.
local function epoch_of(partition)
  local state = redis.call('HMGET', partition .. 'epoch', EPOCH, SETTLED)
  return tonumber(state[1] or 0), state[1] and state[1] == state[2]
end

-- Return true for a white object of a settled partition: it is as good as removed.
local function is_lost(partition, ident, epoch, settled)
  if not settled then return false end
  local colour = redis.call('ZSCORE', partition .. 'kept', ident)
  return colour and tonumber(colour) < 2 * epoch
end

-- Make an object grey; black if it contains nothing. Return 1 if that was new. known: only if it has no lease already.
local function mark(partition, ident, epoch, known)
  local colour = digits(2 * epoch + 1 - redis.call('EXISTS', partition .. ident .. ':contains'))
  if known then return redis.call('ZADD', partition .. 'kept', 'XX', 'GT', 'CH', colour, ident) end
  return redis.call('ZADD', partition .. 'kept', 'GT', 'CH', colour, ident)
end
