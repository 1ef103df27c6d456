-- hosted/end: remove an object that its host does not have any more. May be repeated.
--
-- KEYS
--   names  hash  the names of the partition
--   data   hash  'host' -> the process that has the object
--   data:refs    hash  none
--   data:owners  hash  kept containers that contain it
-- ARGV
--   name  bytes  '' = unnamed
--   host  bytes  who had the object
-- RETURNS  1 if it was that host's, else 0
-- ERRORS   none

local names, data = KEYS[1], KEYS[2]
local name, host = ARGV[1], ARGV[2]

local its_host = redis.pcall('HGET', data, 'host')
if its_host ~= host then return 0 end
redis.call('UNLINK', data, data .. ':refs', data .. ':owners')
if name ~= '' then redis.call('HDEL', names, name) end
return 1
