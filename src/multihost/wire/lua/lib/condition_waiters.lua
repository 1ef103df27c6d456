-- lib/condition_waiters: who waits for a condition, by generations.

-- @include lib/wake
local function count_of(data, kind, generation)
  return tonumber(redis.call('HGET', data, kind .. ':' .. generation) or 0)
end

-- Notifications for those who wait, the oldest first. O(generations), of which there is one as a rule.
local function notify_waiters(data, oldest, last, count)
  for generation = oldest, last do
    local waiting = count_of(data, 'c', generation)
    if waiting > 0 then
      local notified = count_of(data, 'n', generation)
      local woken = math.min(count, waiting - notified)
      if woken > 0 then
        redis.call('HDEL', data, 'n:' .. generation) -- a full server accepts what follows a deletion
        redis.call('HSET', data, 'n:' .. generation, notified + woken)
        wake(data .. ':tokens:' .. generation, woken)
        count = count - woken
      end
    elseif generation == oldest and generation < last then
      oldest = generation + 1
      redis.call('HSET', data, 'o', oldest)
    end
  end
end

-- One sleeper less. Notifications that nobody is left for pass on to the next generation.
local function remove_waiter(data, generation, last, pass)
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
      wake(data .. ':tokens:' .. later, room)
      surplus = surplus - room
    end
  end
end
