-- semaphore/claim: take a permit if there is a free one. Written behind a BLPOP of data:tokens.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'v' -> free permits; 'f' -> last fencing token; 'w', 'q:<waiter>': waiters; 'p:<session>'
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   session  bytes  who takes it
-- RETURNS  the fencing token; nil if there is none
-- ERRORS   GONE
-- WAKES    others, if there are more permits

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, waiter, session = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local field = 'p:' .. session
local state = redis.call('HMGET', data, 'v', 'f', 'w', field)
local free, fence, waiters = tonumber(state[1]), state[2], tonumber(state[3] or 0)
if not fence then
  -- @include lib/save_error
  return save_error(record, request, object_gone('semaphore'))
end
if free <= 0 then
  -- @include lib/save_error
  return save_nil(record, request)
end
waiters = waiters - redis.call('HDEL', data, 'q:' .. waiter)
free = free - 1
fence = string.format('%.0f', fence + 1)
redis.call('HSET', data, 'v', free, 'f', fence, 'w', waiters, field, (state[4] or 0) + 1)
if free > 0 and waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return save_reply(record, request, fence)
