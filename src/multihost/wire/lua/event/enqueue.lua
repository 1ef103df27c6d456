-- event/enqueue: see that a wait still makes sense. May be repeated.
--
-- A BRPOPLPUSH of data:tokens:<n> and event/poll follow. Without a token the former would block, also if the event was
-- set and cleared since.
--
-- KEYS
--   data             hash  's' -> '1' = set; 'n' -> how often it was set
--   data:tokens:<n>  list  one token for those who wait since then, once the event was set
-- ARGV
--   before  bytes  how often it had been set
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    the waiter itself, if the event was set

local data = KEYS[1]
local before = ARGV[1]

local state = redis.call('HMGET', data, 's', 'n')
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('event'))
end
if state[1] == '1' or state[2] ~= before then
  redis.call('DEL', data .. ':tokens:' .. before) -- a full server accepts what follows a deletion
  -- @include lib/wake
  wake(data .. ':tokens:' .. before, 1)
end
return '.'
