-- lib/wake: wake-up tokens for waiters, which are blocked on a list of them.
--
-- A token only says that a check is worth while: it grants nothing. One that no waiter takes expires; a reap script
-- finds out what it was for, and adds another.

-- @include lib/ttl
local function wake(tokens, count)
  count = math.min(count, 100000)
  local batch = {}
  for i = 1, count do batch[i] = '' end
  for i = 1, count, 1000 do redis.call('RPUSH', tokens, unpack(batch, i, math.min(i + 999, count))) end
  if count > 0 then redis.call('PEXPIRE', tokens, TTL) end
end
