-- semaphore/acquire: take a permit if there is a free one.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    FREE_PERMITS, FENCE, WAITERS, PERMITS
-- ARGV
--   request   int    number of the request
--   session   bytes  of the holder
--   blocking  int    1 = not before waiters
-- RETURNS  the fencing token; nil if no permit is free
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/semaphore_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, session, blocking = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local field = PERMITS .. session
local state = redis.call('HMGET', data, FREE_PERMITS, FENCE, WAITERS, field)
local free, fence, waiters = tonumber(state[1]), state[2], tonumber(state[3] or 0)
if not fence then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('semaphore'))
end
if free <= 0 or (waiters > 0 and blocking == '1') then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
fence = string.format('%.0f', fence + 1)
redis.call('HSET', data, FREE_PERMITS, free - 1, FENCE, fence, field, (state[4] or 0) + 1)
return save_reply(reply_cache, request, fence)
