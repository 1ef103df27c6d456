-- queue/shutdown: accept no more items, and notify all waiters. O(items) if they are dropped.
--
-- KEYS
--   reply_cache       string  last request of the connection and its reply
--   data              hash    ORDER, UNFINISHED, SHUT_DOWN, JOINED, PUTTERS, GETTERS
--   data:items        any     the items
--   data:contains     hash    how often it contains unnamed objects
--   data:tokens       list    wake-up tokens of putters
--   data:tokens:get   list    wake-up tokens of getters of a priority queue
--   data:tokens:join  list    one token for processes in join(), while nothing is unfinished
--   partition:epoch   hash    the epochs of the partition
--   partition:cut     zset    when a container without a lease let go of an object
--   partition:tops    set     named objects that contain unnamed ones
--   partition:kept    zset    objects without a lease
-- ARGV
--   request    int  number of the request
--   immediate  int  1 = the items are dropped
-- RETURNS  OK or CUT
-- ERRORS   GONE
-- WAKES    all waiters

-- @include lib/reply_cache
-- @include lib/queue_fields
-- @include lib/inherit_ttl
-- @include lib/end_marker
-- @include lib/size
-- @include lib/count_done
-- @include lib/delivery
-- @include lib/refs
-- @include lib/wake
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, immediate = ARGV[1], ARGV[2]

allow_oom(data)
local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, ORDER, UNFINISHED, SHUT_DOWN, JOINED, PUTTERS, GETTERS)
local order, items = state[1], data .. ':items'
if not order then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('queue'))
end
local links = references(data)
if immediate == '1' then
  local size = size_of(data, order, state[3])
  if redis.call('EXISTS', data .. ':contains') == 1 then
    local all = order == PRIORITY and redis.call('ZRANGE', items, 0, -1) or redis.call('LRANGE', items, 0, -1)
    for _, item in ipairs(all) do
      if order == PRIORITY then item = string.sub(item, 33) end
      local _, value = delivery_count(item)
      links.remove(value)
    end
  end
  redis.call('UNLINK', items)
  local unfinished = tonumber(state[2])
  if size > 0 and unfinished > 0 then count_done(data, unfinished, math.min(size, unfinished), state[4]) end
end
redis.call('HSET', data, SHUT_DOWN, '1')
if order ~= PRIORITY then
  put_end_marker(items, order)
  inherit_ttl(data, items)
end
wake(data .. ':tokens', tonumber(state[5] or 0))
wake(data .. ':tokens:get', tonumber(state[6] or 0))
return save_reply(reply_cache, request, links.code)
