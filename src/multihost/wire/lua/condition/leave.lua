-- condition/leave: stop waiting for a notification.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'g' -> generation; 'c:<g>', 'n:<g>', 'z:<waiter>': who waits
--   data:tokens:<g>  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  '.'
-- ERRORS   none
-- WAKES    another one, if the notification for this one passes on

-- @include lib/once
-- @include lib/sleepers
local record, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = answered(record, request)
if done then return done[1] end
local generation = redis.call('HGET', data, 'z:' .. waiter)
if generation then
  redis.call('HDEL', data, 'z:' .. waiter)
  leave(data, generation, tonumber(redis.call('HGET', data, 'g')), true)
end
return answer(record, request, '.')
