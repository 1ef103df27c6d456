-- lock/try_acquire: take a lock that is free, or whose holder is dead. Idempotent.
--
-- The usual way is shorter: HSETNX of HOLDER, with HINCRBY of FENCE behind it.
--
-- KEYS
--   data           hash    HOLDER, FENCE
--   data:tokens    list    wake-up tokens of waiters
--   sessions       prefix  of the session keys
--   sessions:<id>  hash    record of one, while it is alive
-- ARGV
--   id  bytes  the hold
-- RETURNS  the fencing token; nil if another hold has the lock
-- ERRORS   GONE

-- @include lib/lock_fields
local data, sessions = KEYS[1], KEYS[2]
local id = ARGV[1]

local state = redis.call('HMGET', data, HOLDER, FENCE)
local holder, fence = state[1], state[2]
if not fence then
  -- @include lib/save_error
  return redis.error_reply(object_gone('lock'))
end
if holder == id then return fence end
if holder == '' then
  if redis.call('DEL', data .. ':tokens') == 0 then return false end
elseif holder and redis.call('EXISTS', sessions .. ':' .. string.match(holder, '^[^.]*')) == 1 then
  return false
end
fence = string.format('%.0f', fence + 1)
redis.call('HSET', data, HOLDER, id, FENCE, fence)
return fence
