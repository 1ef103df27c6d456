-- queue/enqueue_getter: join those who wait for an item of a priority queue. A BLPOP of data:tokens:get and queue/pop_sorted follow.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'x' -> it was shut down; 'gw' -> number of waiters; 'g:<waiter>'
--   data:items       zset    the items
--   data:tokens:get  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    the waiter itself, if there is an item

-- @include lib/reject_stale
-- @include lib/wake
local record, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local late = stale_reply(record, request)
if late then return late[1] end
local tokens = data .. ':tokens:get'
local state = redis.call('HMGET', data, 'o', 'gw', 'x', 'g:' .. waiter)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
local waiters = tonumber(state[2] or 0)
if not state[4] then
  waiters = waiters + 1
  redis.call('HSET', data, 'g:' .. waiter, '1', 'gw', waiters)
end
local size = redis.call('ZCARD', data .. ':items')
if state[3] then size = waiters end
wake(tokens, math.min(size, waiters) - redis.call('LLEN', tokens))
return '.'
