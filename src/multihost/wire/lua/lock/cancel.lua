-- lock/cancel: stop waiting for a lock, and release it if it was granted meanwhile.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    HOLDER, WAITERS, WAITER
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   id       bytes  the hold that was to be
-- RETURNS  OK
-- ERRORS   none
-- WAKES    one waiter, if this one may have taken its token

-- @include lib/reject_stale
-- @include lib/lock_fields
-- @include lib/hand_off
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter, id = ARGV[1], ARGV[2], ARGV[3]

allow_oom(data)
local late = stale_reply(reply_cache, request)
if late then return late[1] end
local field = WAITER .. waiter
local state = redis.call('HMGET', data, HOLDER, WAITERS, field)
local holder, waiters = state[1], state[2]
if state[3] == id or state[3] == id .. GRANTED then
  redis.call('HDEL', data, field)
  waiters = redis.call('HINCRBY', data, WAITERS, '-1') .. ''
end
if holder == id or (holder == '' and redis.call('EXISTS', data .. ':tokens') == 0) then hand_off(data, waiters) end
return OK
