-- lock/claim: take the lock if it is not held. May be repeated. Written behind a BLPOP of data:tokens.
--
-- KEYS
--   data  hash  'h' -> holder, '' while it is passed on; 'f' -> last fencing token; 'w' -> number of waiters;
--               'q:<waiter>' -> the hold it wants, and '+' if it need not wait for others
-- ARGV
--   waiter  bytes  session and thread
--   id      bytes  the hold
-- RETURNS  the fencing token, behind '+' if it did not wait for others; nil if another one holds the lock, or this one
--          does not wait for it any more
-- ERRORS   GONE

local data = KEYS[1]
local waiter, id = ARGV[1], ARGV[2]

local field = 'q:' .. waiter
local state = redis.call('HMGET', data, 'h', 'f', 'w', field)
local holder, fence = state[1], state[2]
if not fence then
  -- @include lib/save_error
  return redis.error_reply(object_gone('lock'))
end
local free = state[4] == id .. '+'
if state[4] ~= id and not free then return holder == id and fence end
if holder and holder ~= '' and holder ~= id then return false end
redis.call('HDEL', data, field)
if holder ~= id then fence = string.format('%.0f', fence + 1) end
redis.call('HSET', data, 'h', id, 'f', fence, 'w', state[3] - 1)
return free and '+' .. fence or fence
