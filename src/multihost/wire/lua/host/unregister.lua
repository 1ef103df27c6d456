-- host/unregister: remove a host that exits. Idempotent. O(channels of the host).
--
-- KEYS
--   data                hash  's' -> its session
--   data:channels       set   RPC channels, '<session>.<n>'
--   data:released       set   references that clients released
--   data:tokens         list  wake-up tokens of the host
--   data:res:<channel>  list  responses
-- ARGV
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    clients that wait for a response

-- @include lib/ttl
-- @include lib/frames
local data = KEYS[1]

local channels = redis.call('SMEMBERS', data .. ':channels')
redis.call('UNLINK', data, data .. ':channels', data .. ':released', data .. ':tokens')
for _, channel in ipairs(channels) do
  redis.call('LPUSH', data .. ':res:' .. channel, CHECK)
  redis.call('PEXPIRE', data .. ':res:' .. channel, TTL)
end
return false
