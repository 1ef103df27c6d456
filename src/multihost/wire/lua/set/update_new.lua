-- set/update_new: add members, and say which are new. O(members).
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            set     canonical fields of the members, and ''
--   data:originals  hash    field -> original member, where it is not the field
-- ARGV
--   request     int    number of the request
--   members...  bytes  number of originals; field and original of each; the fields
-- RETURNS  OK, and for each member 1 if it was added, else 0
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/set
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('set'))
end
local first = 3 + 2 * tonumber(ARGV[2])
local added, seen = {}, {}
for i = first, #ARGV do
  local is_new = not seen[ARGV[i]] and redis.call('SISMEMBER', data, ARGV[i]) == 0
  seen[ARGV[i]] = true
  added[#added + 1] = is_new and '1' or '0'
end
if string.find(table.concat(added), '1', 1, true) then add_members(data, ARGV, 2) end
return save_reply(reply_cache, request, OK .. table.concat(added))
