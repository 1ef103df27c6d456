-- hosted/create: enter an object that a process hosts, attach to the one of that name, or take its name over.
--
-- KEYS
--   record  string  last request of the caller
--   names   hash    the names of the partition
--   data    hash    'host' -> the process that has the object
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  protocol, type and host
--   lease    int    milliseconds, for an unnamed object
--   host     bytes  who has the object
--   before   bytes  the dead host of the name; '' = none
-- RETURNS  '.' entered, '=' and the kind of what exists
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/create
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, host, before = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing and (before == '' or redis.call('HGET', data, 'host') ~= before) then
  return save_reply(record, request, existing)
end
if name ~= '' then redis.call('UNLINK', data) end
redis.call('HSET', data, 'host', host)
register(names, name, kind, lease, {data})
return save_reply(record, request, '.')
