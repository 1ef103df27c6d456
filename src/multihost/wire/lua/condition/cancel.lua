-- condition/cancel: stop waiting for a notification.
--
-- Who was notified and does not go on leaves that to another one.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'g' -> generation; 'c:<g>', 'n:<g>', 'z:<waiter>', 'y:<waiter>': who waits
--   data:tokens:<g>  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  '.'
-- ERRORS   none
-- WAKES    another one, if the notification for this one passes on

-- @include lib/reply_cache
-- @include lib/condition_waiters
local record, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'o', 'z:' .. waiter)
if state[3] then
  redis.call('HDEL', data, 'z:' .. waiter)
  remove_waiter(data, state[3], tonumber(state[1]), true)
elseif redis.call('HDEL', data, 'y:' .. waiter) == 1 then
  notify_waiters(data, tonumber(state[2] or 0), tonumber(state[1]), 1)
end
return save_reply(record, request, '.')
