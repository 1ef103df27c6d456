-- queue/cancel_putter: stop waiting for room, and take back items that were accepted without the putter knowing.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    MAXSIZE, ORDER, UNFINISHED, PUTTERS, PUTTER
--   data:items       any     the items
--   data:contains    hash    how often it contains unnamed objects
--   data:tokens      list    wake-up tokens of waiters
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request   int    number of the request
--   waiter    bytes  session and thread
--   since     int    last request of the connection before the attempt
--   items...  bytes  encoded values
-- RETURNS  OK
-- ERRORS   none
-- WAKES    other putters, for this one may have taken their token

-- @include lib/reply_cache
-- @include lib/queue_fields
-- @include lib/outcomes
-- @include lib/size
-- @include lib/stored
-- @include lib/wake_for_permits
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, since = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local last = redis.call('GET', reply_cache) or ''
local accepted = string.sub(last, 1, 12) > since and string.sub(last, 13, 14) == REPLY .. OK
local left = redis.call('HDEL', data, PUTTER .. waiter)
local state = redis.call('HMGET', data, MAXSIZE, ORDER, UNFINISHED, PUTTERS)
if not state[1] then return save_reply(reply_cache, request, OK) end
local waiters = tonumber(state[4] or 0) - left
redis.call('HSET', data, PUTTERS, waiters)
if accepted and state[2] ~= PRIORITY then
  local removed = 0
  for i = 4, #ARGV do
    local value = stored_form(ARGV[i])
    if redis.call('LREM', data .. ':items', '-1', value) == 1 then
      removed = removed + 1
      if is_linked(value) then
        -- @include lib/refs
        references(data).remove(value)
      end
    end
  end
  redis.call('HINCRBY', data, UNFINISHED, -removed)
end
local free = state[1] - size_of(data, state[2], false)
if free > 0 and waiters > 0 then wake_for_permits(data, free, waiters) end
return save_reply(reply_cache, request, OK)
