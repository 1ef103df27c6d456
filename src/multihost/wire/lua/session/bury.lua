-- session/bury: remove the record of a session that is taken for dead, if its counter is what was seen. Idempotent.
--
-- What it held is moved by those who look, each of whom finds no record.
--
-- KEYS
--   session  hash  BEATS
-- ARGV
--   beats  int  the counter that was seen
-- RETURNS  1 if it was removed, else 0
-- ERRORS   none

-- @include lib/session_fields
local session = KEYS[1]
local beats = ARGV[1]

if redis.call('HGET', session, BEATS) ~= beats then return 0 end
return redis.call('DEL', session)
