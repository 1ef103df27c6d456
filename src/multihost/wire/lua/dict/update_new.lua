-- dict/update_new: put the entries whose keys are new. O(entries).
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            hash    COUNTER; field -> encoded value
--   data:index      zset    field by number of its insertion
--   data:originals  hash    field -> original key, where it is not the field
--   data:refs       hash    references to unnamed objects
-- ARGV
--   request     int    number of the request
--   linked      int    1 = a value contains proxies
--   entries...  bytes  number of originals; field and original of each; field and value of each entry
-- RETURNS  OK or DISOWN, and for each entry 1 if it was stored, else 0
-- ERRORS   GONE RETAIN

-- @include lib/reply_cache
-- @include lib/dict_index
-- @include lib/stored_bytes
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
  -- @include lib/errors
  links = references(data)
  for i = first, #ARGV, 2 do
    if redis.call('HEXISTS', data, ARGV[i]) == 0 and links.must_retain(ARGV[i + 1]) then
      -- @include lib/save_error
      return save_error(reply_cache, request, MUST_RETAIN)
    end
  end
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
  elseif links and string.byte(value) == COUNTED then
    links.remove(value) -- it was counted in order to be stored
  end
  stored[#stored + 1] = is_new and '1' or '0'
end
return save_reply(reply_cache, request, (links and links.code or OK) .. table.concat(stored))
