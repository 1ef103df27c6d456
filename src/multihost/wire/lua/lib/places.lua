-- lib/places: the places of sessions at an object. What a session holds lies at one of them: it is where it is held.
--
-- data:refs tells how many places a session may use (lib/refs_fields). Before a session uses one it is registered
-- there, so that a reap finds what lies at its places when it is dead.

-- @include lib/refs_fields
-- @include lib/lists_of
-- Return the names of the places of a session, by the value of its field.
local function places_of(session, count)
  local places = {}
  for n = 1, lists_of(string.match(count, '^%d+')) do places[n] = session .. '.' .. n end
  return places
end

-- Return true if something lies at one of these places.
local function any_used(data, places)
  for i = 1, #places, 1000 do
    local keys = {}
    for n = i, math.min(i + 999, #places) do keys[#keys + 1] = data .. ':held:' .. places[n] end
    if redis.call('EXISTS', unpack(keys)) > 0 then return true end
  end
  return false
end

-- Return those of these places where something lies.
local function used_places(data, places)
  local used = {}
  if not any_used(data, places) then return used end
  for _, place in ipairs(places) do
    if redis.call('EXISTS', data .. ':held:' .. place) == 1 then used[#used + 1] = place end
  end
  return used
end
