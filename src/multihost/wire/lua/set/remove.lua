-- set/remove: remove members. O(members), chunks of 1000.
--
-- KEYS
--   record   string  last request of the caller
--   data     set     '' and the fields of the members
--   data:spelled hash    field -> first spelling of its member
-- ARGV
--   request    int    number of the request
--   fields...  bytes  the members
-- RETURNS  '.' and how many there were
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/set
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('set'))
end
local removed = remove_members(data, ARGV, 2)
if removed == 0 then return save_reply(record, request, '.0') end
return save_reply(record, request, '.' .. removed)
