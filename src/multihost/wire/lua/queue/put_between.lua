-- queue/put_between: put an item into a priority queue between two others that still are neighbours.
--
-- KEYS
--   reply_cache       string  last request of the connection and its reply
--   data              hash    MAXSIZE, UNFINISHED, SHUT_DOWN, JOINED, PUTTERS, GETTERS, KIND, LAST_NUMBER
--   data:items        zset    the items
--   data:contains     hash    how often it contains unnamed objects
--   data:tokens:get   list    wake-up tokens of getters of a priority queue
--   data:tokens:join  list    one token for processes in join(), while nothing is unfinished
--   partition:epoch   hash    the epochs of the partition
--   partition:cut     zset    when a container without a lease let go of an object
--   partition:tops    set     named objects that contain unnamed ones
--   partition:kept    zset    objects without a lease
-- ARGV
--   request         int    number of the request
--   behind_waiters  int    1 = not before waiters
--   kind            bytes  kind of the items when they were compared
--   score           float  of the item, of its neighbours too unless they are beyond those of its score; '' = any
--   before          bytes  its neighbours, '' = none
--   behind          bytes
--   value           bytes  encoded
-- RETURNS  OK; nil if there is no room; CHANGED; NO_SPACE
-- ERRORS   GONE KEEP SHUTDOWN
-- WAKES    one consumer

-- @include lib/reserve_reply
-- @include lib/overwrite_reply
-- @include lib/queue_fields
-- @include lib/check_room
-- @include lib/inherit_ttl
-- @include lib/sort_space
-- @include lib/wake
-- @include lib/insert_sorted
local reply_cache, data = KEYS[1], KEYS[2]
local request, behind_waiters, kind, score = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local before, behind, value = ARGV[5], ARGV[6], ARGV[7]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local items = data .. ':items'
local size = redis.call('ZCARD', items)
local state = redis.call('HMGET', data, MAXSIZE, SHUT_DOWN, PUTTERS, KIND)
local refusal = check_room(reply_cache, request, state, behind_waiters, size, 1)
if refusal then return refusal[1] end
if size > 0 and state[4] ~= kind then return save_reply(reply_cache, request, CHANGED) end

-- The items of its score, or all of them, from the first to the last.
local low, high = 0, size
if score ~= '' then
  low = redis.call('ZCOUNT', items, '-inf', '(' .. score)
  high = low + redis.call('ZCOUNT', items, score, score)
end
local first = before == '' and low - 1 or redis.call('ZRANK', items, before)
local second = behind == '' and high or redis.call('ZRANK', items, behind)
if not first or not second or second ~= first + 1 then return save_reply(reply_cache, request, CHANGED) end

-- Return what must lie between: among equal scores the places, else the scores.
local function position(member)
  if score ~= '' then return tonumber(string.sub(member, 1, 16)) end
  return tonumber(redis.call('ZSCORE', items, member))
end
local at = MIDDLE
if before ~= '' and behind ~= '' then
  local from, to = position(before), position(behind)
  at = math.floor((from + to) / 2)
  if at <= from or at >= to then return save_reply(reply_cache, request, NO_SPACE) end
elseif before ~= '' then
  at = position(before) + STEP
elseif behind ~= '' then
  at = position(behind) - STEP
end
if at <= 0 or at >= 2 * MIDDLE then return save_reply(reply_cache, request, NO_SPACE) end
if score ~= '' then return insert_sorted(reply_cache, request, data, kind, score, at, value) end
return insert_sorted(reply_cache, request, data, kind, string.format('%.0f', at), MIDDLE, value)
