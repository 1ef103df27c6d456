-- lib/register_places: let a session use so many places, or as many as before if those are more.

-- @include lib/refs_fields
-- @include lib/inherit_ttl
-- @include lib/note_lists
local function register_places(data, session, places)
  local before = tonumber(redis.call('HGET', data .. ':refs', CONSUMER .. session)) or 0
  local count = math.max(before, tonumber(places))
  redis.call('HSET', data .. ':refs', CONSUMER .. session, count)
  note_lists(data, session, count)
  inherit_ttl(data, data .. ':refs')
end
