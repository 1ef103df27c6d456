-- host/open_channel: begin a conversation with a host. May be repeated.
--
-- KEYS
--   data          hash  's' -> its session
--   data:talks  set   its conversations
--   data:tokens   list  hints for the host
-- ARGV
--   talk  bytes  '<session>.<n>'
-- RETURNS  1; nil if there is no host
-- ERRORS   none
-- WAKES    the host

-- @include lib/inherit_ttl
-- @include lib/wake
local data = KEYS[1]
local talk = ARGV[1]

if redis.call('EXISTS', data) == 0 then return false end
redis.call('SADD', data .. ':talks', talk)
inherit_ttl(data, data .. ':talks')
wake(data .. ':tokens', 1)
return 1
