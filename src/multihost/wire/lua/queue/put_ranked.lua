-- queue/put_ranked: put an item into a priority queue, if its place is known without a comparison by the client.
--
-- All items of a queue are of one kind, or ranked: 'n' numbers, sorted by value; 't' tuples that start with a number,
-- sorted by that; 'o' others, sorted by the client.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'n' -> most items; 'x' -> shut down; 'w' -> who waits for room; 'k' -> kind of the items;
--                            'i' -> number of the last; 'u' -> unfinished items; 'j', 'gw': who waits
--   data:items       zset    the items
--   data:refs        hash    unnamed objects contained
--   data:tokens:get  list    hints for who waits for an item
--   data:tokens:join list    a token for those who join
-- ARGV
--   request  int    number of the request
--   waiting  bytes  '0' = now or never, '1' = not before those who wait
--   kind     bytes  'n', 't' or 'o'
--   score    float  what the item is sorted by
--   value    bytes  encoded
-- RETURNS  '.'; nil if there is no room; '?' and the kind of the items if they have to be compared
-- ERRORS   GONE RETAIN SHUTDOWN
-- WAKES    one consumer

-- @include lib/reserve_reply
-- @include lib/overwrite_reply
-- @include lib/check_room
-- @include lib/inherit_ttl
-- @include lib/sort_space
-- @include lib/wake
-- @include lib/insert_sorted
local record, data = KEYS[1], KEYS[2]
local request, waiting, kind, score, value = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = reserve_reply(record, request)
if done then return done[1] end
local items = data .. ':items'
local size = redis.call('ZCARD', items)
local state = redis.call('HMGET', data, 'n', 'x', 'w', 'k')
local no = check_room(record, request, state, waiting, size, 1)
if no then return no[1] end
local place = MIDDLE
if size > 0 then
  if state[4] ~= kind or kind == 'o' then return save_reply(record, request, '?' .. state[4]) end
  local last = redis.call('ZREVRANGEBYSCORE', items, score, score, 'LIMIT', 0, 1)[1]
  if last and kind == 't' then return save_reply(record, request, '?t') end
  if last then place = tonumber(string.sub(last, 1, 16)) + 1 end
end
return insert_sorted(record, request, data, kind, score, place, value)
