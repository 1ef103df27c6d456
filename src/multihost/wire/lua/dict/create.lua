-- dict/create: create a dict with its first entries, or attach to the one of that name.
--
-- KEYS
--   record   string  last request of the caller
--   names    hash    the names of the partition
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
--   data:refs hash    unnamed objects contained
-- ARGV
--   request     int    number of the request
--   name        bytes  '' = unnamed
--   kind        bytes  protocol, type and parameters
--   lease       int    milliseconds, for an unnamed dict
--   linked      int    1 = a value contains proxies
--   entries...  bytes  number of spellings; field, spelling of each; field, value of each entry
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   RETAIN

-- @include lib/reply_cache
-- @include lib/create
-- @include lib/refs
-- @include lib/dict_fill
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, linked = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
local first = 7 + 2 * tonumber(ARGV[6])
if linked == '1' and name ~= '' then
  for i = first + 1, #ARGV, 2 do
    if string.byte(ARGV[i]) == 64 then
      -- @include lib/save_error
      return save_error(record, request, RETAIN)
    end
  end
end
if name ~= '' and redis.call('EXISTS', data, data .. ':index', data .. ':spelled') > 0 then
  redis.call('UNLINK', data, data .. ':index', data .. ':spelled')
end
redis.call('HSET', data, '', 1)
redis.call('ZADD', data .. ':index', 0, '')
register(names, name, kind, lease, {data, data .. ':index'})
fill_dict(data, ARGV, 6)
if linked == '1' then
  local links = references(data)
  for i = first + 1, #ARGV, 2 do links.add(ARGV[i]) end
end
return save_reply(record, request, '.')
