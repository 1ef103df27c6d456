-- lock/enqueue: join those who wait for a lock. A BLPOP of data:tokens and lock/claim follow.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'h' -> holder, '' while it is passed on; 'w' -> number of waiters; 'q:<waiter>' -> its hold,
--                        and '+' if it need not wait for others
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   id       bytes  the hold that it wants
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    the waiter itself, if the lock is free

-- @include lib/reject_stale
local record, data = KEYS[1], KEYS[2]
local request, waiter, id = ARGV[1], ARGV[2], ARGV[3]

local late = stale_reply(record, request)
if late then return late[1] end
local field = 'q:' .. waiter
local state = redis.call('HMGET', data, 'h', 'f', 'w', field)
local holder, waiters = state[1], tonumber(state[3] or 0)
if not state[2] then
  -- @include lib/save_error
  -- @include lib/wake
  wake(data .. ':tokens', 1) -- so that the claim behind says so, too
  redis.call('PEXPIRE', data .. ':tokens', '1000')
  return redis.error_reply(object_gone('lock'))
end
if not state[4] then waiters = waiters + 1 end
if holder and holder ~= id then
  redis.call('HSET', data, field, id, 'w', waiters)
  return '.'
end
if holder ~= id then holder = '' end
redis.call('HSET', data, field, id .. '+', 'w', waiters, 'h', holder)
-- @include lib/wake
wake(data .. ':tokens', 1)
return '.'
