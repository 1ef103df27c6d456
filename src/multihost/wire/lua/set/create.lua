-- set/create: create a set with its first members, or attach to the one of that name.
--
-- KEYS
--   record   string  last request of the caller
--   names    hash    the names of the partition
--   data     set     '' and the fields of the members
--   data:spelled hash    field -> first spelling of its member
-- ARGV
--   request     int    number of the request
--   name        bytes  '' = unnamed
--   kind        bytes  protocol, type and parameters
--   lease       int    milliseconds, for an unnamed set
--   members...  bytes  number of spellings; field, spelling of each; the fields
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/create
-- @include lib/set
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
if name ~= '' and redis.call('EXISTS', data, data .. ':spelled') > 0 then
  redis.call('UNLINK', data, data .. ':spelled')
end
redis.call('SADD', data, '')
register(names, name, kind, lease, {data})
add_members(data, ARGV, 5)
return save_reply(record, request, '.')
