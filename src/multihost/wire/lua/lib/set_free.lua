-- lib/set_free: elements that are free, and those that are only counted.

-- @include lib/hold_fields
-- @include lib/inherit_ttl
-- Make so many elements free that are only counted so far. No list is that long that no program could read it: more
-- than a few thousand stay counted, until those are taken.
local function set_free(data, count)
  local pushed = math.min(count, 10000)
  local batch = {}
  for i = 1, math.min(pushed, 1000) do batch[i] = '1' end
  for i = 1, pushed, 1000 do
    redis.call('RPUSH', data .. ':free', unpack(batch, 1, math.min(1000, pushed - i + 1)))
  end
  if pushed > 0 then inherit_ttl(data, data .. ':free') end
  if count > pushed then redis.call('HINCRBY', data, RESERVE, string.format('%.0f', count - pushed)) end
end

-- Return how many elements are free.
local function count_free(data)
  return redis.call('LLEN', data .. ':free') + (tonumber(redis.call('HGET', data, RESERVE)) or 0)
end
