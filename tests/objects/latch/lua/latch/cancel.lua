-- latch/cancel: stop waiting.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data    hash    'q:<waiter>': waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  OK
-- ERRORS   none

-- @include lib/reject_stale
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local late = stale_reply(reply_cache, request)
if late then return late[1] end
redis.call('HDEL', data, 'q:' .. waiter)
return OK
