-- object/record_dead_owner: record what an owner that was removed by another program contained, to disown it.
-- Idempotent.
--
-- It is as after a deletion: a container of that name that takes the object in again has a later epoch, and is not
-- disowned.
--
-- KEYS
--   data       any   the owner
--   data:refs  hash  references to unnamed objects that it contained
-- ARGV
--   ident  bytes  of the object
--   epoch  int    in which the owner had taken it in, as data:owners of the object has it
-- RETURNS  1 if there is something to disown, else 0
-- ERRORS   none

-- @include lib/refs_fields
-- @include lib/allow_oom
local data = KEYS[1]
local ident, epoch = ARGV[1], ARGV[2]

local refs = data .. ':refs'
if redis.call('EXISTS', data) == 1 then return 0 end
local count = redis.call('HGET', refs, COUNT .. ident)
if count then return tonumber(count) <= 0 and 1 or 0 end
allow_oom(refs)
redis.call('HSET', refs, COUNT .. ident, '0', EPOCH .. ident, epoch)
local last = tonumber(redis.call('HGET', refs, LAST_EPOCH) or 0)
if last < tonumber(epoch) then redis.call('HSET', refs, LAST_EPOCH, epoch) end
return 1
