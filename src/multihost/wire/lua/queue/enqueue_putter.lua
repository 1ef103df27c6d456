-- queue/enqueue_putter: join those who wait for room. A BLPOP of data:tokens and queue/put or queue/claim_room follow.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'n' -> most items; 'o' -> order; 'x' -> shut down; 'w' -> number of waiters; 'q:<waiter>'
--   data:items   any     the items
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  '.'
-- ERRORS   GONE SHUTDOWN
-- WAKES    the waiter itself, if there is room

-- @include lib/reject_stale
-- @include lib/size
local record, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local late = stale_reply(record, request)
if late then return late[1] end
local field = 'q:' .. waiter
local state = redis.call('HMGET', data, 'n', 'o', 'x', 'w', field)
local waiters = tonumber(state[4] or 0)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
if state[3] then return redis.error_reply('SHUTDOWN the queue was shut down') end
if not state[5] then
  waiters = waiters + 1
  redis.call('HSET', data, field, '1', 'w', waiters)
end
local free = state[1] - size_of(data, state[2], false)
if free > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return '.'
