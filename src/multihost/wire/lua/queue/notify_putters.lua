-- queue/notify_putters: wake putters after items were taken out of a queue of limited size. Idempotent.
--
-- KEYS
--   data         hash  MAXSIZE, ORDER, SHUT_DOWN, PUTTERS
--   data:items   any   the items
--   data:tokens  list  wake-up tokens of waiters
-- ARGV
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    as many putters as there is room for

-- @include lib/queue_fields
-- @include lib/size
-- @include lib/wake_for_permits
-- @include lib/allow_oom
local data = KEYS[1]

allow_oom(data)
local state = redis.call('HMGET', data, MAXSIZE, ORDER, SHUT_DOWN, PUTTERS)
if state[1] and state[4] then
  local free = state[1] - size_of(data, state[2], state[3])
  if free > 0 then wake_for_permits(data, free, tonumber(state[4])) end
end
return false
