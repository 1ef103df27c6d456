-- queue/claim_room: whether it is the turn of one who waits for room. May be repeated. Behind a BLPOP of data:tokens.
--
-- KEYS
--   data        hash  'n' -> most items; 'o' -> order; 'x' -> it was shut down; 'w', 'q:<waiter>': who waits
--   data:items  any   the items
-- ARGV
--   waiter  bytes  session and thread
-- RETURNS  '.'; nil if there is no room
-- ERRORS   GONE SHUTDOWN

-- @include lib/size
local data = KEYS[1]
local waiter = ARGV[1]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local state = redis.call('HMGET', data, 'n', 'o', 'x', 'w')
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
if state[3] then return redis.error_reply('SHUTDOWN the queue was shut down') end
if size_of(data, state[2], false) >= tonumber(state[1]) then return false end
redis.call('HSET', data, 'w', (state[4] or 0) - redis.call('HDEL', data, 'q:' .. waiter))
return '.'
