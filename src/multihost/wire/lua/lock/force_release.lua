-- lock/force_release: end the hold of whoever has it.
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

-- @include lib/reply_cache
-- @include lib/save_error
-- @include lib/hand_off
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'h', 'w', 'f', 'o')
if not state[3] then return save_error(record, request, object_gone('lock')) end
if not state[1] and state[4] == state[3] then
  redis.call('HDEL', data, 'o')
  return save_reply(record, request, '.')
end
if not state[1] or state[1] == '' then return save_nil(record, request) end
hand_off(data, state[2])
return save_reply(record, request, '.')
