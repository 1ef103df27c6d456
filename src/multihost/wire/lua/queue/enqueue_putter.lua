-- queue/enqueue_putter: enqueue a waiter for room.
--
-- A BLPOP of data:tokens and queue/put or queue/claim_room follow.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    MAXSIZE, ORDER, SHUT_DOWN, PUTTERS, PUTTER
--   data:items   any     the items
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  OK
-- ERRORS   GONE SHUTDOWN
-- WAKES    the waiter itself, if there is room

-- @include lib/reject_stale
-- @include lib/queue_fields
-- @include lib/size
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local late = stale_reply(reply_cache, request)
if late then return late[1] end
local field = PUTTER .. waiter
local state = redis.call('HMGET', data, MAXSIZE, ORDER, SHUT_DOWN, PUTTERS, field)
local waiters = tonumber(state[4] or 0)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
if state[3] then return redis.error_reply(QUEUE_SHUT_DOWN) end
if not state[5] then
  waiters = waiters + 1
  redis.call('HSET', data, field, '1', PUTTERS, waiters)
end
local free = state[1] - size_of(data, state[2], false)
if free > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return OK
