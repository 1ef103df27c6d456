-- lib/trim_place: what lies at a place, compared with what its session knows of.

-- @include lib/hold_fields
-- @include lib/give_back
-- Give back what lies at a place beyond the elements that its session knows of. Others may have released some of them;
-- seen is how many of these it knows of. Return how many are missing.
local function trim_place(data, place, count, seen)
  local released = (tonumber(redis.call('HGET', data, RELEASED .. place)) or 0) - tonumber(seen)
  if released > tonumber(count) then -- of elements that it does not know of: the next ones are not released
    released = tonumber(count)
    redis.call('HSET', data, RELEASED .. place, seen + released)
  end
  local wanted = math.max(tonumber(count) - math.max(released, 0), 0)
  local key = data .. ':held:' .. place
  redis.call('LREM', key, '0', '') -- the mark of an object that was deleted
  local there = redis.call('LLEN', key)
  if there > wanted then give_back(data, key, there - wanted) end
  return math.max(wanted - there, 0)
end
