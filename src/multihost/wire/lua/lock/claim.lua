-- lock/claim: take the lock if it is not held. Written behind a BLPOP of data:tokens.
--
-- KEYS
--   record  string  last request of the caller
--   data    hash    'h' -> holder, '' while it is passed on; 'f' -> last fencing token; 'w', 'q:<waiter>': waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   id       bytes  the hold
-- RETURNS  the fencing token; nil if another one holds the lock
-- ERRORS   GONE

-- @include lib/later
local record, data = KEYS[1], KEYS[2]
local request, waiter, id = ARGV[1], ARGV[2], ARGV[3]

local late = too_late(record, request)
if late then return late[1] end
local field = 'q:' .. waiter
local state = redis.call('HMGET', data, 'h', 'f', 'w', field)
local holder, fence, waiters = state[1], state[2], tonumber(state[3] or 0)
if not fence then
  -- @include lib/refuse
  return redis.error_reply(gone('lock'))
end
if holder and holder ~= '' and holder ~= id then return false end
if state[4] then
  redis.call('HDEL', data, field)
  waiters = waiters - 1
end
if holder ~= id then fence = string.format('%.0f', fence + 1) end
redis.call('HSET', data, 'h', id, 'f', fence, 'w', waiters)
return fence
