-- condition/cancel: stop waiting for a notification.
--
-- One that was claimed, but not used, passes on to another waiter.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    OLDEST, WAITERS, NOTIFICATIONS, REACH, WAITER, NOTIFIED
--   data:tokens:<g>  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  OK
-- ERRORS   none
-- WAKES    another waiter, if the notification passes on

-- @include lib/reply_cache
-- @include lib/condition_fields
-- @include lib/condition_waiters
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, OLDEST, WAITER .. waiter, NOTIFIED .. waiter)
redis.call('HDEL', data, WAITER .. waiter, NOTIFIED .. waiter)
if state[2] then
  remove_waiter(data, state[2])
elseif state[3] then
  notify_waiters(data, tonumber(state[1] or 0), tonumber(state[3]), 1)
end
return save_reply(reply_cache, request, OK)
