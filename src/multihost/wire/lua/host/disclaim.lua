-- host/disclaim: tell a host that a client has no claim on some of its objects any more. May be repeated.
--
-- KEYS
--   data          hash  's' -> its session
--   data:left     set   what clients let go
--   data:tokens   list  hints for the host
-- ARGV
--   claims...  bytes  '<ident> <session> <claim>', at most 200
-- RETURNS  1; nil if there is no host, and so no object of it
-- ERRORS   none
-- WAKES    the host

-- @include lib/keep
-- @include lib/wake
local data = KEYS[1]

if redis.call('EXISTS', data) == 0 then return false end
for _, claim in ipairs(ARGV) do redis.call('SADD', data .. ':left', claim) end
keep(data, data .. ':left')
wake(data .. ':tokens', 1)
return 1
