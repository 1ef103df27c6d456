-- queue/shutdown: take no more items, and tell all who wait. O(items) if they are dropped.
--
-- KEYS
--   record            string  last request of the caller
--   data              hash    'o' -> order; 'u' -> unfinished items; 'x' -> shut down; 'j', 'w', 'gw': who waits
--   data:items        any     the items
--   data:refs         hash    unnamed objects contained
--   data:tokens       list    hints for who waits for room
--   data:tokens:get   list    hints for who waits for an item
--   data:tokens:join  list    a token for those who join
-- ARGV
--   request    int  number of the request
--   immediate  int  1 = the items are dropped
-- RETURNS  '.' or '!' (objects were let go)
-- ERRORS   GONE
-- WAKES    all who wait

-- @include lib/reply_cache
-- @include lib/inherit_ttl
-- @include lib/end_marker
-- @include lib/size
-- @include lib/count_done
-- @include lib/refs
-- @include lib/wake
local record, data = KEYS[1], KEYS[2]
local request, immediate = ARGV[1], ARGV[2]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'o', 'u', 'x', 'j', 'w', 'gw')
local order, items = state[1], data .. ':items'
if not order then
  -- @include lib/save_error
  return save_error(record, request, object_gone('queue'))
end
local links = references(data)
if immediate == '1' then
  local size = size_of(data, order, state[3])
  if redis.call('EXISTS', data .. ':refs') == 1 then
    local all = order == 'p' and redis.call('ZRANGE', items, 0, -1) or redis.call('LRANGE', items, 0, -1)
    for _, item in ipairs(all) do
      if order == 'p' then item = string.sub(item, 33) end
      links.remove(string.match(item, '^%*%d+;(.*)$') or item)
    end
  end
  redis.call('UNLINK', items)
  local unfinished = tonumber(state[2])
  if size > 0 and unfinished > 0 then count_done(data, unfinished, math.min(size, unfinished), state[4]) end
end
redis.call('HSET', data, 'x', '1')
if order ~= 'p' then
  put_end_marker(items, order)
  inherit_ttl(data, items)
end
wake(data .. ':tokens', tonumber(state[5] or 0))
wake(data .. ':tokens:get', tonumber(state[6] or 0))
return save_reply(record, request, links.flag)
