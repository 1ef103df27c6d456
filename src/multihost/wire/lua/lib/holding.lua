-- lib/holding: which sessions hold something of an object.

-- @include lib/hold_fields
-- @include lib/owners_in_use
-- Return a set of those of these sessions that have something: elements at a place, or that are only counted.
local function holding(data, names, places)
  local lists, owners = {}, {}
  for _, session in ipairs(names) do
    for _, place in ipairs(places[session]) do
      lists[#lists + 1] = data .. ':held:' .. place
      owners[#owners + 1] = session
    end
  end
  local found = owners_in_use(lists, owners)
  for i = 1, #names, 1000 do
    local keys = {}
    for n = i, math.min(i + 999, #names) do keys[#keys + 1] = TALLY .. names[n] end
    local tallies = redis.call('HMGET', data, unpack(keys))
    for n = 1, #keys do
      if tallies[n] then found[names[i + n - 1]] = true end
    end
  end
  return found
end
