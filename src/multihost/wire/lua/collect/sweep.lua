-- collect/sweep: remove white objects of a settled partition. Idempotent. O(most + 500).
--
-- When none is left, also what is noted of the time before the collection.
--
-- KEYS
--   names               hash  names of the partition, which says which one it is
--   partition:kept      zset  objects without a lease
--   partition:held      zset  until when they are held
--   partition:cut       zset  when a container let go of them
--   partition:partial   set   those of which some contents may have a lease
--   partition:tops      set   NOT USED: named objects
--   partition:lists     hash  the sessions that have places
--   partition:epoch     hash  EPOCH, SETTLED, SWEPT
--   partition:u:<data>  any   the objects
-- ARGV
--   epoch  int  of this collection
--   most   int  how many objects
--   held   int  milliseconds: what is noted of those whose last lease had ended by then goes
--   cut    int  milliseconds: what is noted of those that were let go before goes
-- RETURNS  how many objects were removed, and 1 if there may be more to do, else 0; nil if another collection has begun
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
-- @include lib/epoch_fields
-- @include lib/keys
-- @include lib/note_lists
-- @include lib/strike
local names = KEYS[1]
local epoch, most, held, cut = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local partition = partition_of(names)
local state = redis.call('HMGET', partition .. 'epoch', EPOCH, SETTLED)
if state[1] ~= epoch or state[2] ~= epoch then return false end
local white = '(' .. digits(2 * epoch)
local found = redis.call('ZRANGEBYSCORE', partition .. 'kept', '-inf', white, 'LIMIT', 0, most)
for _, ident in ipairs(found) do
  local data = partition .. ident
  if redis.call('PTTL', data) < 0 then
    local keys, refs = keys_of(data)
    for i = 1, #keys, 1000 do redis.call('UNLINK', unpack(keys, i, math.min(i + 999, #keys))) end
    forget_lists(data, refs)
  end
  strike(partition, ident)
end
if #found == tonumber(most) then return {#found, 1} end
local function trim(key, before)
  local old = redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. before, 'LIMIT', 0, 500)
  if #old > 0 then redis.call('ZREM', key, unpack(old, 1, #old)) end
  return #old
end
-- Not where the clock has gone back: what was noted since then is not of the time before.
if now() >= tonumber(held) and trim(partition .. 'held', held) + trim(partition .. 'cut', cut) >= 500 then
  return {#found, 1}
end
redis.call('HDEL', partition .. 'epoch', '-') -- see lib/allow_oom
redis.call('HSET', partition .. 'epoch', SWEPT, epoch)
if redis.call('EXISTS', partition .. 'kept', partition .. 'held', partition .. 'cut') == 0 then
  -- See lib/refs: what was kept before is refused then all the same.
  redis.call('PEXPIRE', partition .. 'epoch', digits(2 * FORGOTTEN + math.max(epoch - now(), 0)))
end
return {#found, 0}
