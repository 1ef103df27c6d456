-- lock/cancel: stop waiting for a lock, and give up what was got meanwhile.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'h' -> holder; 'w', 'q:<waiter>': waiters
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   id       bytes  the hold that it wanted
-- RETURNS  '.'
-- ERRORS   none
-- WAKES    one waiter, if this one may have swallowed its token

-- @include lib/reject_stale
-- @include lib/hand_off
local record, data = KEYS[1], KEYS[2]
local request, waiter, id = ARGV[1], ARGV[2], ARGV[3]

-- A full server accepts what follows a deletion, of nothing too.
redis.call('HDEL', data, '')
local late = stale_reply(record, request)
if late then return late[1] end
local field = 'q:' .. waiter
local state = redis.call('HMGET', data, 'h', 'w', field)
local holder, waiters = state[1], state[2]
if state[3] == id or state[3] == id .. '+' then
  redis.call('HDEL', data, field)
  waiters = redis.call('HINCRBY', data, 'w', '-1') .. ''
end
if holder == id or (holder == '' and redis.call('EXISTS', data .. ':tokens') == 0) then hand_off(data, waiters) end
return '.'
