-- lib/former_places: what remains of the registration of a session that is dead, where something may still arrive.

-- @include lib/refs_fields
local function set_tombstone(data, session, places)
  redis.call('HDEL', data .. ':refs', CONSUMER .. session)
  redis.call('HSET', data .. ':refs', BURIED .. session, places .. ' ' .. redis.call('TIME')[1])
end

-- Return true for one that was set more than so many seconds ago.
local function is_weathered(value, seconds)
  local since = tonumber(string.match(value, '^%d+ (%d+)$')) or 0
  return math.abs(redis.call('TIME')[1] - since) > seconds
end
