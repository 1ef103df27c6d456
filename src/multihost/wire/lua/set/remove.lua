-- set/remove: remove members. O(members), chunks of 1000.
--
-- KEYS
--   reply_cache     string  last request of the connection and its reply
--   data            set     canonical fields of the members, and ''
--   data:originals  hash    field -> original member, where it is not the field
-- ARGV
--   request    int    number of the request
--   fields...  bytes  the members
-- RETURNS  OK and how many there were
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
local removed = remove_members(data, ARGV, 2)
if removed == 0 then return save_reply(reply_cache, request, OK .. '0') end
return save_reply(reply_cache, request, OK .. removed)
