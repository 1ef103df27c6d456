-- semaphore/claim: claim a permit if one is free. Sent behind a BLPOP of data:tokens.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    FREE_PERMITS, FENCE, WAITERS, WAITER, PERMITS
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   session  bytes  of the holder
-- RETURNS  the fencing token; nil if no permit is free
-- ERRORS   GONE
-- WAKES    other waiters, if there are more permits

-- @include lib/reply_cache
-- @include lib/semaphore_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, session = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local field = PERMITS .. session
local state = redis.call('HMGET', data, FREE_PERMITS, FENCE, WAITERS, field)
local free, fence, waiters = tonumber(state[1]), state[2], tonumber(state[3] or 0)
if not fence then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('semaphore'))
end
if free <= 0 then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
waiters = waiters - redis.call('HDEL', data, WAITER .. waiter)
free = free - 1
fence = string.format('%.0f', fence + 1)
redis.call('HSET', data, FREE_PERMITS, free, FENCE, fence, WAITERS, waiters, field, (state[4] or 0) + 1)
if free > 0 and waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return save_reply(reply_cache, request, fence)
