-- server/probe: show that the server runs scripts, permits them, and how fast. Idempotent.
--
-- KEYS
--   names  hash  names of the partition
-- ARGV
-- RETURNS  1 if there are any, 0 if not
-- ERRORS   none

local names = KEYS[1]

return redis.call('EXISTS', names)
