-- queue/put: append items if there is room for all of them. O(items), chunks of 1000.
--
-- KEYS
--   reply_cache       string  last request of the connection and its reply
--   data              hash    MAXSIZE, UNFINISHED, SHUT_DOWN, JOINED, PUTTERS, PUTTER
--   data:items        list    the items
--   data:contains     hash    how often it contains unnamed objects
--   data:tokens       list    wake-up tokens of putters
--   data:tokens:join  list    one token for processes in join(), while nothing is unfinished
--   partition:epoch   hash    the epochs of the partition
--   partition:cut     zset    when a container without a lease let go of an object
--   partition:tops    set     named objects that contain unnamed ones
--   partition:kept    zset    objects without a lease
-- ARGV
--   request         int    number of the request
--   behind_waiters  int    1 = not before waiters
--   waiter          bytes  session and thread of a waiter that claims room; '' = none
--   linked          int    1 = an item contains proxies
--   items...        bytes  encoded values
-- RETURNS  OK; nil if there is no room
-- ERRORS   GONE KEEP SHUTDOWN
-- WAKES    one consumer for each item; other putters, if there is more room

-- @include lib/reserve_reply
-- @include lib/queue_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, behind_waiters, waiter, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = reserve_reply(reply_cache, request)
if done then return done[1] end
local items, count, size = data .. ':items', #ARGV - 4, 0
local state = redis.call('HMGET', data, MAXSIZE, SHUT_DOWN, PUTTERS, JOINED, UNFINISHED)
if state[1] ~= '0' or state[2] then
  -- @include lib/check_room
  size = redis.call('LLEN', items)
  local refusal = check_room(reply_cache, request, state, behind_waiters, size, count)
  if refusal then return refusal[1] end
end
if linked == '1' then
  -- @include lib/refs
  -- @include lib/save_error
  local links = references(data)
  for i = 5, #ARGV do
    if links.must_keep(ARGV[i]) then return save_error(reply_cache, request, links.refusal()) end
  end
  store_forms(5, 1)
  for i = 5, #ARGV do links.add(ARGV[i]) end
end
local length
for i = 5, #ARGV, 1000 do
  length = redis.call('RPUSH', items, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if length == count and string.find(data, '}:u:', 1, true) then -- its items are a new key, and it may have a lease
  local ttl = redis.call('PTTL', data)
  if ttl >= 0 then redis.call('PEXPIRE', items, math.max(ttl, 1)) end
end
redis.call('HINCRBY', data, UNFINISHED, count)
if state[4] and state[5] == '0' then
  redis.call('DEL', data .. ':tokens:join')
  redis.call('HDEL', data, JOINED)
end
if waiter == '' then return OK end
-- @include lib/overwrite_reply
local waiters = (state[3] or 0) - redis.call('HDEL', data, PUTTER .. waiter)
redis.call('HSET', data, PUTTERS, waiters)
local free = state[1] - size - count
if free > 0 and waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return save_reply(reply_cache, request, OK)
