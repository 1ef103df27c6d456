-- queue/cancel_getter: stop waiting for an item of a priority queue.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    GETTERS, GETTER
--   data:items       zset    the items
--   data:tokens:get  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  OK
-- ERRORS   none
-- WAKES    other getters, for this one may have taken their token

-- @include lib/reject_stale
-- @include lib/queue_fields
-- @include lib/wake
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

allow_oom(data)
local late = stale_reply(reply_cache, request)
if late then return late[1] end
if redis.call('HDEL', data, GETTER .. waiter) == 1 then
  local waiters = redis.call('HINCRBY', data, GETTERS, '-1')
  local size, tokens = redis.call('ZCARD', data .. ':items'), data .. ':tokens:get'
  wake(tokens, math.min(size, waiters) - redis.call('LLEN', tokens))
end
return OK
