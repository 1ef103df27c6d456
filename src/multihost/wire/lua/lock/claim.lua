-- lock/claim: claim a lock that is not held. Idempotent. Sent behind a BLPOP of data:tokens.
--
-- KEYS
--   data  hash  HOLDER, FENCE, WAITERS, WAITER
-- ARGV
--   waiter  bytes  session and thread
--   id      bytes  the hold
-- RETURNS  the fencing token, behind UNCONTENDED if it was granted without waiting; nil if another hold has the lock,
--          or the waiter was removed
-- ERRORS   GONE

-- @include lib/codes
-- @include lib/lock_fields
local data = KEYS[1]
local waiter, id = ARGV[1], ARGV[2]

local field = WAITER .. waiter
local state = redis.call('HMGET', data, HOLDER, FENCE, WAITERS, field)
local holder, fence = state[1], state[2]
if not fence then
  -- @include lib/save_error
  return redis.error_reply(object_gone('lock'))
end
local uncontended = state[4] == id .. GRANTED
if state[4] ~= id and not uncontended then return holder == id and fence end
if holder and holder ~= '' and holder ~= id then return false end
redis.call('HDEL', data, field)
if holder ~= id then fence = string.format('%.0f', fence + 1) end
redis.call('HSET', data, HOLDER, id, FENCE, fence, WAITERS, state[3] - 1)
return uncontended and UNCONTENDED .. fence or fence
