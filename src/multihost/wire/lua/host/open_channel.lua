-- host/open_channel: open an RPC channel to a host. Idempotent.
--
-- KEYS
--   data           hash  's' -> its session
--   data:channels  set   RPC channels, '<session>.<n>'
--   data:tokens    list  wake-up tokens of the host
-- ARGV
--   channel  bytes  '<session>.<n>'
-- RETURNS  1; nil if there is no host
-- ERRORS   none
-- WAKES    the host

-- @include lib/inherit_ttl
-- @include lib/wake
local data = KEYS[1]
local channel = ARGV[1]

if redis.call('EXISTS', data) == 0 then return false end
redis.call('SADD', data .. ':channels', channel)
inherit_ttl(data, data .. ':channels')
wake(data .. ':tokens', 1)
return 1
