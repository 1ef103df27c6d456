-- object/record_dead_owner: an owner is gone without a note of what it owned: write the note, to disown by it. May be repeated.
--
-- As after a deletion: who takes the object in again under that name draws a later epoch, and is not disowned.
--
-- KEYS
--   data       any   the owner
--   data:refs  hash  unnamed objects that it contained
-- ARGV
--   ident  bytes  the object
--   epoch  int    when the owner had taken it in, as the object says
-- RETURNS  1 if there is something to disown, else 0
-- ERRORS   none

local data = KEYS[1]
local ident, epoch = ARGV[1], ARGV[2]

local refs = data .. ':refs'
if redis.call('EXISTS', data) == 1 then return 0 end
local noted = redis.call('HGET', refs, 'n:' .. ident)
if noted then return tonumber(noted) <= 0 and 1 or 0 end
redis.call('HDEL', refs, 'n:' .. ident) -- a full server accepts what follows a deletion, of nothing too
redis.call('HSET', refs, 'n:' .. ident, '0', 'e:' .. ident, epoch)
if tonumber(redis.call('HGET', refs, '') or 0) < tonumber(epoch) then redis.call('HSET', refs, '', epoch) end
return 1
