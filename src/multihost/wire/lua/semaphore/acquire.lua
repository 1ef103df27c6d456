-- semaphore/acquire: take a permit if there is a free one.
--
-- KEYS
--   record  string  last request of the caller
--   data    hash    'v' -> free permits; 'f' -> last fencing token; 'w' -> waiters; 'p:<session>' -> its permits
-- ARGV
--   request   int    number of the request
--   session   bytes  who takes it
--   blocking  int    1 = not before those who wait
-- RETURNS  the fencing token; nil if there is none
-- ERRORS   GONE

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, session, blocking = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local field = 'p:' .. session
local state = redis.call('HMGET', data, 'v', 'f', 'w', field)
local free, fence, waiters = tonumber(state[1]), state[2], tonumber(state[3] or 0)
if not fence then
  -- @include lib/save_error
  return save_error(record, request, object_gone('semaphore'))
end
if free <= 0 or (waiters > 0 and blocking == '1') then
  -- @include lib/save_error
  return save_nil(record, request)
end
fence = string.format('%.0f', fence + 1)
redis.call('HSET', data, 'v', free - 1, 'f', fence, field, (state[4] or 0) + 1)
return save_reply(record, request, fence)
