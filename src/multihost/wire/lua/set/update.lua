-- set/update: add members. O(members), chunks of 1000.
--
-- KEYS
--   record   string  last request of the caller
--   data     set     '' and the fields of the members
--   data:spelled hash    field -> first spelling of its member
-- ARGV
--   request     int    number of the request
--   members...  bytes  number of spellings; field, spelling of each; the fields
-- RETURNS  '.'
-- ERRORS   GONE

-- @include lib/reserve_reply
-- @include lib/set
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = reserve_reply(record, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('set'))
end
add_members(data, ARGV, 2)
return '.'
