-- hosted/end: remove an object that its host does not have any more. Idempotent.
--
-- KEYS
--   names              hash  names of the partition
--   data               hash  HOST
--   partition:kept     zset  objects without a lease
--   partition:held     zset  until when they are held
--   partition:partial  set   NOT USED: those of which some contents may have a lease
--   partition:tops     set   NOT USED: named objects that contain unnamed ones
-- ARGV
--   name  bytes  '' = unnamed
--   host  bytes  ident of the host that had the object
-- RETURNS  1 if it was an object of that host, else 0
-- ERRORS   none

-- @include lib/hosted_fields
-- @include lib/partition
-- @include lib/strike
local names, data = KEYS[1], KEYS[2]
local name, host = ARGV[1], ARGV[2]

local current = redis.pcall('HGET', data, HOST)
if current ~= host then return 0 end
redis.call('UNLINK', data)
strike(partition_of(data), string.match(data, '}:(.*)$'))
if name ~= '' then redis.call('HDEL', names, name) end
return 1
