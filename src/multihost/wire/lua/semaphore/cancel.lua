-- semaphore/cancel: stop waiting for a permit, and give back one that was granted without the waiter knowing.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    FREE_PERMITS, WAITERS, WAITER, PERMITS
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   session  bytes  of the waiter
--   since    int    last request of the connection before the attempt
-- RETURNS  OK
-- ERRORS   none
-- WAKES    other waiters, for this one may have taken their token

-- @include lib/reply_cache
-- @include lib/semaphore_fields
-- @include lib/wake_for_permits
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, session, since = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local last = redis.call('GET', reply_cache) or ''
local granted = string.sub(last, 1, 12) > since and string.find(last, '^%+%d', 13) -- REPLY, and a fencing token
local field = PERMITS .. session
local left = redis.call('HDEL', data, WAITER .. waiter)
local state = redis.call('HMGET', data, FREE_PERMITS, WAITERS, field)
local free, waiters = tonumber(state[1]), tonumber(state[2] or 0) - left
if not free then return save_reply(reply_cache, request, OK) end
if granted and state[3] then
  redis.call('HDEL', data, field)
  if state[3] ~= '1' then redis.call('HSET', data, field, state[3] - 1) end
  free = free + 1
end
redis.call('HSET', data, FREE_PERMITS, free, WAITERS, waiters)
if free > 0 and waiters > 0 then wake_for_permits(data, free, waiters) end
return save_reply(reply_cache, request, OK)
