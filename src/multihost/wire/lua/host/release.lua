-- host/release: tell a host that a client released references to its objects. Idempotent.
--
-- KEYS
--   data           hash  's' -> its session
--   data:released  set   references that clients released
--   data:tokens    list  wake-up tokens of the host
-- ARGV
--   references...  bytes  '<ident> <session> <version>', at most 200
-- RETURNS  1; nil if there is no host, and so no object of it
-- ERRORS   none
-- WAKES    the host

-- @include lib/inherit_ttl
-- @include lib/wake
local data = KEYS[1]

if redis.call('EXISTS', data) == 0 then return false end
for _, reference in ipairs(ARGV) do redis.call('SADD', data .. ':released', reference) end
inherit_ttl(data, data .. ':released')
wake(data .. ':tokens', 1)
return 1
