-- latch/enqueue: wait until the latch opens. A BLPOP of data:tokens and latch/claim follow.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    'n' -> how often it is still to be counted down; 'q:<waiter>': waiters
--   data:tokens  list    wake-up tokens
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    the waiter itself, if the latch is open

-- @include lib/reject_stale
-- @include lib/wake
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local late = stale_reply(reply_cache, request)
if late then return late[1] end
local count = redis.call('HGET', data, 'n')
if not count then
  -- @include lib/save_error
  return redis.error_reply(object_gone('latch'))
end
redis.call('HSET', data, 'q:' .. waiter, '1')
if tonumber(count) <= 0 then wake(data .. ':tokens', 1) end
return OK
