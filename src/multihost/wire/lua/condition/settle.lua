-- condition/settle: settle a condition with a session, after the server may have gone back. Idempotent.
--
-- Of a notification that was claimed nothing is left to do. A waiter that the server does not know enqueues again.
--
-- KEYS
--   data             hash  GENERATION, OLDEST, WAITERS, NOTIFICATIONS, REACH, WAITER, NOTIFIED
--   data:tokens:<g>  list  wake-up tokens of waiters
-- ARGV
--   sid         bytes  of the session, without the number of its name
--   waiters...  bytes  WAITER or NOTIFIED, then session and thread: those that wait, and those that were notified
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    waiters, if a notification passes on

-- @include lib/condition_fields
-- @include lib/condition_waiters
-- @include lib/allow_oom
local data = KEYS[1]
local sid = ARGV[1]

if redis.call('HEXISTS', data, GENERATION) == 0 then return false end
allow_oom(data)
local present = {}
for i = 2, #ARGV do present[ARGV[i]] = true end
for _, field in ipairs(redis.call('HKEYS', data)) do
  local kind, session = string.match(field, '^(..)([^~]*)')
  if session == sid and not present[field] and (kind == WAITER or kind == NOTIFIED) then
    local generation = redis.call('HGET', data, field)
    redis.call('HDEL', data, field)
    if kind == WAITER then remove_waiter(data, generation) end
  end
end
return false
