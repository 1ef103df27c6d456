-- lib/sleepers: who waits for a condition, by generations.

local function count_of(data, kind, generation)
  return tonumber(redis.call('HGET', data, kind .. ':' .. generation) or 0)
end

-- One sleeper less. Notifications that nobody is left for pass on to the next generation.
local function leave(data, generation, last, pass)
  if redis.call('HINCRBY', data, 'c:' .. generation, '-1') <= 0 then redis.call('HDEL', data, 'c:' .. generation) end
  local surplus = count_of(data, 'n', generation) - count_of(data, 'c', generation)
  if surplus <= 0 then return end
  if redis.call('HINCRBY', data, 'n:' .. generation, -surplus) <= 0 then
    redis.call('HDEL', data, 'n:' .. generation)
    redis.call('DEL', data .. ':tokens:' .. generation)
  end
  for later = generation + 1, pass and last or generation do
    local room = math.min(surplus, count_of(data, 'c', later) - count_of(data, 'n', later))
    if room > 0 then
      redis.call('HINCRBY', data, 'n:' .. later, room)
      -- @include lib/wake
      wake(data .. ':tokens:' .. later, room)
      surplus = surplus - room
    end
  end
end
