-- queue/put: append items if there is room for all of them. O(items), chunks of 1000.
--
-- KEYS
--   record            string  last request of the caller
--   data              hash    'n' -> most items; 'x' -> it was shut down; 'u' -> unfinished items; 'w', 'q:<waiter>':
--                             who waits for room; 'j' -> somebody joins
--   data:items        list    the items
--   data:refs         hash    unnamed objects contained
--   data:tokens       list    hints for who waits for room
--   data:tokens:join  list    one token for those who join, while nothing is unfinished
-- ARGV
--   request   int    number of the request
--   waiting   int    1 = only if no client waits for room, 0 = also before those that wait
--   waiter    bytes  session and thread that waits for room and claims it; '' = none
--   linked    int    1 = an item contains proxies
--   items...  bytes  encoded values
-- RETURNS  '.'; nil if there is no room
-- ERRORS   GONE RETAIN SHUTDOWN
-- WAKES    one consumer for each item; others who wait for room, if there is more

-- @include lib/reserve_reply
local record, data = KEYS[1], KEYS[2]
local request, waiting, waiter, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = reserve_reply(record, request)
if done then return done[1] end
local items, count, size = data .. ':items', #ARGV - 4, 0
local state = redis.call('HMGET', data, 'n', 'x', 'w', 'j', 'u')
if state[1] ~= '0' or state[2] then
  -- @include lib/check_room
  size = redis.call('LLEN', items)
  local no = check_room(record, request, state, waiting, size, count)
  if no then return no[1] end
end
if linked == '1' then
  -- @include lib/refs
  -- @include lib/save_error
  local links = references(data)
  for i = 5, #ARGV do
    if links.must_retain(ARGV[i]) then return save_error(record, request, RETAIN) end
  end
  for i = 5, #ARGV do links.add(ARGV[i]) end
end
local length
for i = 5, #ARGV, 1000 do
  length = redis.call('RPUSH', items, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if length == count and string.find(data, '}:u:', 1, true) then -- it was empty, and may have a lease
  local left = redis.call('PTTL', data)
  if left >= 0 then redis.call('PEXPIRE', items, math.max(left, 1)) end
end
redis.call('HINCRBY', data, 'u', count)
if state[4] and state[5] == '0' then
  redis.call('DEL', data .. ':tokens:join')
  redis.call('HDEL', data, 'j')
end
if waiter == '' then return '.' end
-- @include lib/overwrite_reply
local waiters = state[3] - redis.call('HDEL', data, 'q:' .. waiter)
redis.call('HSET', data, 'w', waiters)
local free = state[1] - size - count
if free > 0 and waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return save_reply(record, request, '.')
