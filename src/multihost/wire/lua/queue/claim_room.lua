-- queue/claim_room: check that there is room for a waiting putter. Idempotent. Sent behind a BLPOP of data:tokens.
--
-- KEYS
--   data        hash  MAXSIZE, ORDER, SHUT_DOWN, PUTTERS, PUTTER
--   data:items  any   the items
-- ARGV
--   waiter  bytes  session and thread
-- RETURNS  OK; nil if there is no room
-- ERRORS   GONE SHUTDOWN

-- @include lib/codes
-- @include lib/queue_fields
-- @include lib/size
-- @include lib/allow_oom
-- @include lib/errors
local data = KEYS[1]
local waiter = ARGV[1]

allow_oom(data)
local state = redis.call('HMGET', data, MAXSIZE, ORDER, SHUT_DOWN, PUTTERS)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
if state[3] then return redis.error_reply(QUEUE_SHUT_DOWN) end
if size_of(data, state[2], false) >= tonumber(state[1]) then return false end
redis.call('HSET', data, PUTTERS, (state[4] or 0) - redis.call('HDEL', data, PUTTER .. waiter))
return OK
