-- semaphore/enqueue: join those who wait for a permit. A BLPOP of data:tokens and semaphore/claim follow.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'v' -> free permits; 'w' -> number of waiters; 'q:<waiter>' -> '1'
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   session  bytes  who waits
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    the waiter itself, if there is a permit for it

-- @include lib/reject_stale
local record, data = KEYS[1], KEYS[2]
local request, waiter, session = ARGV[1], ARGV[2], ARGV[3]

local late = stale_reply(record, request)
if late then return late[1] end
local field = 'q:' .. waiter
local state = redis.call('HMGET', data, 'v', 'w', field)
local waiters = tonumber(state[2] or 0)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('semaphore'))
end
if not state[3] then
  waiters = waiters + 1
  redis.call('HSET', data, field, session, 'w', waiters)
end
if tonumber(state[1]) > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, tonumber(state[1]), waiters)
end
return '.'
