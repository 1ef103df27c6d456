-- queue/enqueue_getter: enqueue a waiter for an item of a priority queue.
--
-- A BLPOP of data:tokens:get and queue/pop_sorted follow.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    ORDER, SHUT_DOWN, GETTERS, GETTER
--   data:items       zset    the items
--   data:tokens:get  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    the waiter itself, if there is an item

-- @include lib/reject_stale
-- @include lib/queue_fields
-- @include lib/wake
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

allow_oom(data)
local late = stale_reply(reply_cache, request)
if late then return late[1] end
local tokens = data .. ':tokens:get'
local state = redis.call('HMGET', data, ORDER, GETTERS, SHUT_DOWN, GETTER .. waiter)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
local waiters = tonumber(state[2] or 0)
if not state[4] then
  waiters = waiters + 1
  redis.call('HSET', data, GETTER .. waiter, '1', GETTERS, waiters)
end
local size = redis.call('ZCARD', data .. ':items')
if state[3] then size = waiters end
wake(tokens, math.min(size, waiters) - redis.call('LLEN', tokens))
return OK
