-- condition/cancel: stop waiting for a notification.
--
-- One that was claimed, but not used, passes on to another waiter.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    GENERATION, OLDEST, WAITERS, NOTIFICATIONS, WAITER, NOTIFIED
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
local state = redis.call('HMGET', data, GENERATION, OLDEST, WAITER .. waiter)
if state[3] then
  redis.call('HDEL', data, WAITER .. waiter)
  remove_waiter(data, state[3], tonumber(state[1]))
elseif redis.call('HDEL', data, NOTIFIED .. waiter) == 1 then
  notify_waiters(data, tonumber(state[2] or 0), tonumber(state[1]), 1)
end
return save_reply(reply_cache, request, OK)
