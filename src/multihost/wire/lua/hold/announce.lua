-- hold/announce: tell of which threads it is known that they wait, or do not wait any more. Idempotent.
--
-- The server serves them by itself; this is for those who ask who waits.
--
-- KEYS
--   data  hash  TYPE, WAITER
-- ARGV
--   waiters...  bytes  '+' or '-', then session and thread
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/hold_fields
-- @include lib/allow_oom
local data = KEYS[1]

if redis.call('HEXISTS', data, TYPE) == 0 then return false end
allow_oom(data)
for _, waiter in ipairs(ARGV) do
  local field = WAITER .. string.sub(waiter, 2)
  if string.sub(waiter, 1, 1) == '+' then
    redis.call('HSET', data, field, '')
  else
    redis.call('HDEL', data, field)
  end
end
return false
