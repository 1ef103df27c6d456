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

-- @include lib/once
-- @include lib/keep
-- @include lib/mark
-- @include lib/size
-- @include lib/finished
-- @include lib/refs
-- @include lib/wake
local record, data = KEYS[1], KEYS[2]
local request, immediate = ARGV[1], ARGV[2]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local done = answered(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'o', 'u', 'x', 'j', 'w', 'gw')
local order, items = state[1], data .. ':items'
if not order then
  -- @include lib/refuse
  return refuse(record, request, gone('queue'))
end
local links = references(data)
if immediate == '1' then
  local size = size_of(data, order, state[3])
  if redis.call('EXISTS', data .. ':refs') == 1 then
    local all = order == 'p' and redis.call('ZRANGE', items, 0, -1) or redis.call('LRANGE', items, 0, -1)
    for _, item in ipairs(all) do
      if order == 'p' then item = string.sub(item, 33) end
      links.let_go(string.match(item, '^%*%d+;(.*)$') or item)
    end
  end
  redis.call('UNLINK', items)
  local unfinished = tonumber(state[2])
  if size > 0 and unfinished > 0 then finished(data, unfinished, math.min(size, unfinished), state[4]) end
end
redis.call('HSET', data, 'x', '1')
if order ~= 'p' then
  mark_end(items, order)
  keep(data, items)
end
wake(data .. ':tokens', tonumber(state[5] or 0))
wake(data .. ':tokens:get', tonumber(state[6] or 0))
return answer(record, request, links.flag)
