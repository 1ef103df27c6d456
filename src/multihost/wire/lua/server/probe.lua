-- server/probe: the simplest script: shows that the server runs scripts, permits them, and how fast. May be repeated.
--
-- KEYS
--   names  hash  the names in a partition
-- ARGV
-- RETURNS  1 if there are any, 0 if not
-- ERRORS   none

local names = KEYS[1]

return redis.call('EXISTS', names)
