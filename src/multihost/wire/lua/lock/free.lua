-- lock/free: end the hold of whoever has it.
--
-- Who ended in order without a release leaves that to others: one may follow, as long as nobody took the lock since.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'h' -> holder; 'w' -> number of waiters; 'f' -> last fencing token; 'o' -> the same
--                        when a release was left out
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int  number of the request
-- RETURNS  '.'; nil if nobody holds the lock
-- ERRORS   GONE
-- WAKES    one waiter

-- @include lib/once
-- @include lib/refuse
-- @include lib/pass_on
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = answered(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'h', 'w', 'f', 'o')
if not state[3] then return refuse(record, request, gone('lock')) end
if not state[1] and state[4] == state[3] then
  redis.call('HDEL', data, 'o')
  return answer(record, request, '.')
end
if not state[1] or state[1] == '' then return nothing(record, request) end
pass_on(data, state[2])
return answer(record, request, '.')
