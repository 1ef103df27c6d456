-- set/intersect: remove every member that is not among the given. O(set + given), chunks of 1000.
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            set     canonical fields of the members, and ''
--   data:originals  hash    field -> original member, where it is not the field
-- ARGV
--   request    int    number of the request
--   fields...  bytes  the members to keep
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/set
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local members = redis.call('SMEMBERS', data)
if #members == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('set'))
end
local wanted = {['']=true}
for i = 2, #ARGV do wanted[ARGV[i]] = true end
local others = {}
for _, field in ipairs(members) do
  if not wanted[field] then others[#others + 1] = field end
end
if #others == 0 then return save_reply(reply_cache, request, OK) end
remove_members(data, others, 1)
return save_reply(reply_cache, request, OK)
