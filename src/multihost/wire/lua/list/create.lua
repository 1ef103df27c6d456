-- list/create: create a list with its first elements, or attach to the one of that name.
--
-- KEYS
--   record  string  last request of the caller
--   names   hash    the names of the partition
--   data    list    '', then the elements
--   data:refs hash    unnamed objects contained
-- ARGV
--   request      int    number of the request
--   name         bytes  '' = unnamed
--   kind         bytes  protocol, type and parameters
--   lease        int    milliseconds, for an unnamed list
--   linked       int    1 = an element contains proxies
--   elements...  bytes  encoded values
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   RETAIN

-- @include lib/reply_cache
-- @include lib/create
-- @include lib/refs
-- @include lib/list
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
if linked == '1' and name ~= '' then
  for i = 6, #ARGV do
    if string.byte(ARGV[i]) == 64 then
      -- @include lib/save_error
      return save_error(record, request, RETAIN)
    end
  end
end
if name ~= '' and redis.call('EXISTS', data) > 0 then
  redis.call('UNLINK', data)
end
redis.call('RPUSH', data, '')
register(names, name, kind, lease, {data})
push(data, ARGV, 6)
if linked == '1' then
  local links = references(data)
  for i = 6, #ARGV do links.add(ARGV[i]) end
end
return save_reply(record, request, '.')
