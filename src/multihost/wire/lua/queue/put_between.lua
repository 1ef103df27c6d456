-- queue/put_between: put an item into a priority queue between two others, if these still are neighbours.
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
--   kind     bytes  kind of the items when they were compared
--   score    float  of the item, of its neighbours too unless they are beyond those of its score; '' = any
--   before   bytes  its neighbours, '' = none
--   behind   bytes
--   value    bytes  encoded
-- RETURNS  '.'; nil if there is no room; '?' if something has changed; '|' if there is no place between them
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
local request, waiting, kind, score = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local before, behind, value = ARGV[5], ARGV[6], ARGV[7]

local done = reserve_reply(record, request)
if done then return done[1] end
local items = data .. ':items'
local size = redis.call('ZCARD', items)
local state = redis.call('HMGET', data, 'n', 'x', 'w', 'k')
local no = check_room(record, request, state, waiting, size, 1)
if no then return no[1] end
if size > 0 and state[4] ~= kind then return save_reply(record, request, '?') end

-- The items of its score, or all of them, from the first to the last.
local low, high = 0, size
if score ~= '' then
  low = redis.call('ZCOUNT', items, '-inf', '(' .. score)
  high = low + redis.call('ZCOUNT', items, score, score)
end
local first = before == '' and low - 1 or redis.call('ZRANK', items, before)
local second = behind == '' and high or redis.call('ZRANK', items, behind)
if not first or not second or second ~= first + 1 then return save_reply(record, request, '?') end

-- With a score it is the place that lies between, else the score itself.
local function position(member)
  if score ~= '' then return tonumber(string.sub(member, 1, 16)) end
  return tonumber(redis.call('ZSCORE', items, member))
end
local at = MIDDLE
if before ~= '' and behind ~= '' then
  local from, to = position(before), position(behind)
  at = math.floor((from + to) / 2)
  if at <= from or at >= to then return save_reply(record, request, '|') end
elseif before ~= '' then
  at = position(before) + STEP
elseif behind ~= '' then
  at = position(behind) - STEP
end
if at <= 0 or at >= 2 * MIDDLE then return save_reply(record, request, '|') end
if score ~= '' then return insert_sorted(record, request, data, kind, score, at, value) end
return insert_sorted(record, request, data, kind, string.format('%.0f', at), MIDDLE, value)
