-- lib/condition_waiters: the waiters of a condition, by generations.

-- @include lib/condition_fields
-- @include lib/wake
local function count_of(data, field, generation)
  return tonumber(redis.call('HGET', data, field .. generation) or 0)
end

-- Notify waiters, the oldest first. O(generations), of which there is one as a rule.
local function notify_waiters(data, oldest, last, count)
  for generation = oldest, last do
    local waiters = count_of(data, WAITERS, generation)
    if waiters > 0 then
      local notified = count_of(data, NOTIFICATIONS, generation)
      local woken = math.min(count, waiters - notified)
      if woken > 0 then
        redis.call('HDEL', data, NOTIFICATIONS .. generation) -- first, see lib/allow_oom
        redis.call('HSET', data, NOTIFICATIONS .. generation, notified + woken)
        wake(data .. ':tokens:' .. generation, woken)
        count = count - woken
      end
    elseif generation == oldest and generation < last then
      oldest = generation + 1
      redis.call('HSET', data, OLDEST, oldest)
    end
  end
end

-- Remove a waiter. Notifications that no waiter of its generation is left for pass on to the next one.
local function remove_waiter(data, generation, last)
  if redis.call('HINCRBY', data, WAITERS .. generation, '-1') <= 0 then
    redis.call('HDEL', data, WAITERS .. generation)
  end
  local surplus = count_of(data, NOTIFICATIONS, generation) - count_of(data, WAITERS, generation)
  if surplus <= 0 then return end
  if redis.call('HINCRBY', data, NOTIFICATIONS .. generation, -surplus) <= 0 then
    redis.call('HDEL', data, NOTIFICATIONS .. generation)
    redis.call('DEL', data .. ':tokens:' .. generation)
  end
  for later = generation + 1, last do
    local missing = math.min(surplus, count_of(data, WAITERS, later) - count_of(data, NOTIFICATIONS, later))
    if missing > 0 then
      redis.call('HINCRBY', data, NOTIFICATIONS .. later, missing)
      wake(data .. ':tokens:' .. later, missing)
      surplus = surplus - missing
    end
  end
end
