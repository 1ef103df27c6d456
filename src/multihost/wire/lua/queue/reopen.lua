-- queue/reopen: accept items again after a shutdown.
--
-- A consumer that has the end marker in flight finds that it means nothing any more (queue/pass_end_marker).
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    ORDER, SHUT_DOWN
--   data:items   any     the items, and behind them the end marker
-- ARGV
--   request  int  number of the request
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/queue_fields
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

allow_oom(data)
local done = cached_reply(reply_cache, request)
if done then return done[1] end
local order, items = redis.call('HGET', data, ORDER), data .. ':items'
if not order then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('queue'))
end
if redis.call('HDEL', data, SHUT_DOWN) == 1 and order ~= PRIORITY then
  if redis.call('LINDEX', items, order == LIFO and 0 or -1) == '' then
    redis.call(order == LIFO and 'LPOP' or 'RPOP', items)
  end
end
return save_reply(reply_cache, request, OK)
