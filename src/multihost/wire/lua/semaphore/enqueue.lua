-- semaphore/enqueue: enqueue a waiter for a permit. A BLPOP of data:tokens and semaphore/claim follow.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    FREE_PERMITS, WAITERS, WAITER
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   session  bytes  of the waiter
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    the waiter itself, if there is a permit for it

-- @include lib/reject_stale
-- @include lib/semaphore_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, session = ARGV[1], ARGV[2], ARGV[3]

local late = stale_reply(reply_cache, request)
if late then return late[1] end
local field = WAITER .. waiter
local state = redis.call('HMGET', data, FREE_PERMITS, WAITERS, field)
local waiters = tonumber(state[2] or 0)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('semaphore'))
end
if not state[3] then
  waiters = waiters + 1
  redis.call('HSET', data, field, session, WAITERS, waiters)
end
if tonumber(state[1]) > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, tonumber(state[1]), waiters)
end
return OK
