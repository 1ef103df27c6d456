-- lock/try_acquire: take a lock that is free, or whose holder is dead. May be repeated.
--
-- The usual way is shorter: HSETNX of the field 'h', with HINCRBY of 'f' behind it.
--
-- KEYS
--   data           hash    'h' -> holder, '' while it is passed on; 'f' -> last fencing token
--   data:tokens    list    hints for who waits
--   sessions       prefix  of the sessions
--   sessions:<id>  string  one of them
-- ARGV
--   id  bytes  the hold
-- RETURNS  the fencing token; nil if another one holds the lock
-- ERRORS   GONE

local data, sessions = KEYS[1], KEYS[2]
local id = ARGV[1]

local state = redis.call('HMGET', data, 'h', 'f')
local holder, fence = state[1], state[2]
if not fence then
  -- @include lib/save_error
  return redis.error_reply(object_gone('lock'))
end
if holder == id then return fence end
if holder == '' then
  if redis.call('DEL', data .. ':tokens') == 0 then return false end
elseif holder and redis.call('EXISTS', sessions .. ':' .. string.match(holder, '^[^.]*')) == 1 then
  return false
end
fence = string.format('%.0f', fence + 1)
redis.call('HSET', data, 'h', id, 'f', fence)
return fence
