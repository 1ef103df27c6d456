-- queue/put_ranked: put an item into a priority queue, if its place is known without a comparison by the client.
--
-- All items of a queue are of one KIND: NUMBERS, sorted by value; TUPLES that start with a number, sorted by that;
-- OTHERS, sorted by the client.
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
--   kind            bytes  NUMBERS, TUPLES or OTHERS
--   score           float  by which the item is sorted
--   value           bytes  encoded
-- RETURNS  OK; nil if there is no room; COMPARE and the kind of the items
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
local request, behind_waiters, kind, score, value = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local items = data .. ':items'
local size = redis.call('ZCARD', items)
local state = redis.call('HMGET', data, MAXSIZE, SHUT_DOWN, PUTTERS, KIND)
local refusal = check_room(reply_cache, request, state, behind_waiters, size, 1)
if refusal then return refusal[1] end
local place = MIDDLE
if size > 0 then
  if state[4] ~= kind or kind == OTHERS then return save_reply(reply_cache, request, COMPARE .. state[4]) end
  local last = redis.call('ZREVRANGEBYSCORE', items, score, score, 'LIMIT', 0, 1)[1]
  if last and kind == TUPLES then return save_reply(reply_cache, request, COMPARE .. TUPLES) end
  if last then place = tonumber(string.sub(last, 1, 16)) + 1 end
end
return insert_sorted(reply_cache, request, data, kind, score, place, value)
