-- dict/update_new: put the entries whose keys are new. O(entries).
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
-- RETURNS  OK or CUT, and for each entry 1 if it was stored, else 0
-- ERRORS   GONE KEEP

-- @include lib/reply_cache
-- @include lib/dict_index
local reply_cache, data = KEYS[1], KEYS[2]
local request, linked = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('dict'))
end
local first = 4 + 2 * tonumber(ARGV[3])
local links
if linked == '1' then
  -- @include lib/refs
  links = references(data)
  for i = first, #ARGV, 2 do
    if redis.call('HEXISTS', data, ARGV[i]) == 0 and links.must_keep(ARGV[i + 1]) then
      -- @include lib/save_error
      return save_error(reply_cache, request, links.refusal())
    end
  end
  store_forms(first + 1, 2)
end
local originals, stored = {}, {}
for i = 4, first - 1, 2 do originals[ARGV[i]] = ARGV[i + 1] end
for i = first, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  local is_new = redis.call('HEXISTS', data, field) == 0
  if is_new then
    redis.call('HSET', data, field, value)
    add_to_index(data, field, originals[field] or '')
    if links then links.add(value) end
  end
  stored[#stored + 1] = is_new and '1' or '0'
end
return save_reply(reply_cache, request, (links and links.code or OK) .. table.concat(stored))
