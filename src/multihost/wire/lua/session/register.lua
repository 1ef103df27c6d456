-- session/register: a session says that it lives. May be repeated.
--
-- KEYS
--   session  string  what it says of itself
-- ARGV
--   note   bytes  its connection, server, process and host
--   lease  int    milliseconds
-- RETURNS  1 if it was known, else 0
-- ERRORS   none

local session = KEYS[1]
local note, lease = ARGV[1], ARGV[2]

-- A full server accepts what follows a deletion.
local known = redis.call('DEL', session)
redis.call('SET', session, note, 'PX', lease)
return known
