-- queue/notify_putters: something was taken out of a queue of limited size for which others wait. May be repeated.
--
-- KEYS
--   data         hash  'n' -> most items; 'o' -> order; 'x' -> it was shut down; 'w' -> who waits for room
--   data:items   any   the items
--   data:tokens  list  hints for who waits
-- ARGV
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    as many as there is room for

-- @include lib/size
-- @include lib/wake_for_permits
local data = KEYS[1]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local state = redis.call('HMGET', data, 'n', 'o', 'x', 'w')
if state[1] and state[4] then
  local free = state[1] - size_of(data, state[2], state[3])
  if free > 0 then wake_for_permits(data, free, tonumber(state[4])) end
end
return false
