-- lock/enqueue: enqueue a waiter of a lock. A BLPOP of data:tokens and lock/claim follow.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    HOLDER, FENCE, WAITERS, WAITER
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   id       bytes  the hold that is to be
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    the waiter itself, if the lock is free

-- @include lib/reject_stale
-- @include lib/lock_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, id = ARGV[1], ARGV[2], ARGV[3]

local late = stale_reply(reply_cache, request)
if late then return late[1] end
local field = WAITER .. waiter
local state = redis.call('HMGET', data, HOLDER, FENCE, WAITERS, field)
local holder, waiters = state[1], tonumber(state[3] or 0)
if not state[2] then
  -- @include lib/save_error
  -- @include lib/ttl
  -- @include lib/wake
  wake(data .. ':tokens', 1) -- so that the claim that follows returns, too
  redis.call('PEXPIRE', data .. ':tokens', BRIEF_TTL)
  return redis.error_reply(object_gone('lock'))
end
if not state[4] then waiters = waiters + 1 end
if holder and holder ~= id then
  redis.call('HSET', data, field, id, WAITERS, waiters)
  return OK
end
if holder ~= id then holder = '' end
redis.call('HSET', data, field, id .. GRANTED, WAITERS, waiters, HOLDER, holder)
-- @include lib/wake
wake(data .. ':tokens', 1)
return OK
