-- queue/cancel_getter: stop waiting for an item of a priority queue.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'gw' -> number of waiters; 'g:<waiter>'
--   data:items       zset    the items
--   data:tokens:get  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  '.'
-- ERRORS   none
-- WAKES    others, for this one may have swallowed their token

-- @include lib/reject_stale
-- @include lib/wake
local record, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local late = stale_reply(record, request)
if late then return late[1] end
if redis.call('HDEL', data, 'g:' .. waiter) == 1 then
  local waiters = redis.call('HINCRBY', data, 'gw', '-1')
  local size, tokens = redis.call('ZCARD', data .. ':items'), data .. ':tokens:get'
  wake(tokens, math.min(size, waiters) - redis.call('LLEN', tokens))
end
return '.'
