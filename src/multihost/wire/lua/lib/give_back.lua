-- lib/give_back: move elements from a place to those that are free. Whoever waits longest gets them.

-- @include lib/inherit_ttl
-- Give back up to so many elements of a place, all if there is no count. Return how many.
local function give_back(data, place, count)
  local given = 0
  while given ~= count and redis.call('LMOVE', place, data .. ':free', 'RIGHT', 'LEFT') do given = given + 1 end
  if given > 0 then inherit_ttl(data, data .. ':free') end
  return given
end
