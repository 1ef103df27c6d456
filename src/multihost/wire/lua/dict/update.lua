-- dict/update: put many entries at once. O(entries), chunks of 1000 arguments.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    COUNTER; field -> encoded value
--   data:index       zset    field by number of its insertion
--   data:originals   hash    field -> original key, where it is not the field
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request     int    number of the request
--   linked      int    1 = a value contains proxies
--   entries...  bytes  number of originals; field and original of each; field and value of each entry
-- RETURNS  OK or CUT
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/refs
-- @include lib/dict_fill
local reply_cache, data = KEYS[1], KEYS[2]
local request, linked = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('EXISTS', data, data, data .. ':contains')
if state < 2 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('dict'))
end
if linked == '0' and state == 2 then
  fill_dict(data, ARGV, 3)
  return save_reply(reply_cache, request, OK)
end
local first = 4 + 2 * tonumber(ARGV[3])
local links = references(data)
local old = {}
for i = first, #ARGV, 2 do
  if links.must_keep(ARGV[i + 1]) then
    -- @include lib/save_error
    return save_error(reply_cache, request, links.refusal())
  end
  old[#old + 1] = redis.call('HGET', data, ARGV[i]) or nil
end
store_forms(first + 1, 2)
fill_dict(data, ARGV, 3)
for i = first + 1, #ARGV, 2 do links.add(ARGV[i]) end
for _, value in ipairs(old) do links.remove(value) end
return save_reply(reply_cache, request, links.code)
