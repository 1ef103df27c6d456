-- lib/hand_off: end the hold of a lock. If others wait, it is handed off to them.
--
-- Until one of them claims it, its holder is '': a process that does not wait finds it taken.

-- @include lib/ttl
-- @include lib/lock_fields
local function hand_off(data, waiters)
  redis.call('HDEL', data, HOLDER) -- first, see lib/allow_oom
  if waiters and waiters ~= '0' then
    redis.call('HSET', data, HOLDER, '')
    redis.call('RPUSH', data .. ':tokens', '')
    redis.call('PEXPIRE', data .. ':tokens', TTL)
  end
end
