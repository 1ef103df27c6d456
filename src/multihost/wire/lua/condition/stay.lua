-- condition/stay: see that a wait still makes sense. May be repeated.
--
-- A BLPOP of data:tokens:<g> and condition/awake follow.
--
-- KEYS
--   data              hash  'g' -> generation; 'n:<g>' -> notifications
--   data:tokens:<g>   list  hints for who waits
-- ARGV
--   generation  int  of the waiter
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    the waiter itself, if there is a notification for it

local data = KEYS[1]
local generation = ARGV[1]

local state = redis.call('HMGET', data, 'g', 'n:' .. generation)
if not state[1] then
  -- @include lib/refuse
  return redis.error_reply(gone('condition'))
end
local missing = tonumber(state[2] or 0) - redis.call('LLEN', data .. ':tokens:' .. generation)
if missing > 0 then
  redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
  -- @include lib/wake
  wake(data .. ':tokens:' .. generation, missing)
end
return '.'
