-- set/intersect: remove every member that is not among the given. O(set + given), chunks of 1000.
--
-- KEYS
--   record   string  last request of the caller
--   data     set     '' and the fields of the members
--   data:spelled hash    field -> first spelling of its member
-- ARGV
--   request    int    number of the request
--   fields...  bytes  the members to keep
-- RETURNS  '.'
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/set
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
local members = redis.call('SMEMBERS', data)
if #members == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('set'))
end
local wanted = {['']=true}
for i = 2, #ARGV do wanted[ARGV[i]] = true end
local others = {}
for _, field in ipairs(members) do
  if not wanted[field] then others[#others + 1] = field end
end
if #others == 0 then return save_reply(record, request, '.') end
remove_members(data, others, 1)
return save_reply(record, request, '.')
