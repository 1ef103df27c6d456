-- lib/hand_off: what happens to a lock that is not held any more.
--
-- While others wait it is reserved for them, its holder is '': whoever comes new finds it taken. A deletion comes
-- first, so that a full server accepts the rest.

local function hand_off(data, waiters)
  redis.call('HDEL', data, 'h')
  if waiters and waiters ~= '0' then
    redis.call('HSET', data, 'h', '')
    redis.call('RPUSH', data .. ':tokens', '')
    redis.call('PEXPIRE', data .. ':tokens', '60000')
  end
end
