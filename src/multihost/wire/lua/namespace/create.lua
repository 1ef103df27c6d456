-- namespace/create: create a namespace with its first attributes, or attach to the one of that name.
--
-- KEYS
--   record  string  last request of the caller
--   names   hash    the names of the partition
--   data    hash    attribute -> value, '' -> ''
--   data:refs hash    unnamed objects contained
-- ARGV
--   request        int    number of the request
--   name           bytes  '' = unnamed
--   kind           bytes  protocol, type and parameters
--   lease          int    milliseconds, for an unnamed namespace
--   attributes...  bytes  name and value of each, fewer than 4000
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   RETAIN

-- @include lib/reply_cache
-- @include lib/create
-- @include lib/refs
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
for i = 6, #ARGV, 2 do
  if name ~= '' and string.byte(ARGV[i]) == 64 then
    -- @include lib/save_error
    return save_error(record, request, RETAIN)
  end
end
if name ~= '' and redis.call('EXISTS', data) > 0 then
  redis.call('UNLINK', data)
end
redis.call('HSET', data, '', '')
register(names, name, kind, lease, {data})
for i = 5, #ARGV, 2 do
  redis.call('HSET', data, ARGV[i], ARGV[i + 1])
  if string.byte(ARGV[i + 1]) == 64 then references(data).add(ARGV[i + 1]) end
end
return save_reply(record, request, '.')
