-- lib/condition_waiters: the waiters of a condition, by generations.

-- @include lib/condition_fields
-- @include lib/wake
local function count_of(data, field, generation)
  return tonumber(redis.call('HGET', data, field .. generation) or 0)
end

-- Notify waiters of one generation; return how many of the notifications are left. last: see REACH.
local function notify_generation(data, generation, last, count)
  local notified = count_of(data, NOTIFICATIONS, generation)
  local woken = math.min(count, count_of(data, WAITERS, generation) - notified)
  if woken <= 0 then return count end
  redis.call('HDEL', data, NOTIFICATIONS .. generation) -- first, see lib/allow_oom
  redis.call('HSET', data, NOTIFICATIONS .. generation, notified + woken, REACH .. generation, last)
  wake(data .. ':tokens:' .. generation, woken)
  return count - woken
end

-- Notify waiters, the oldest first. O(generations), of which there is one as a rule.
local function notify_waiters(data, oldest, last, count)
  for generation = oldest, last do
    if generation == oldest and generation < last and count_of(data, WAITERS, generation) <= 0 then
      oldest = generation + 1
      redis.call('HSET', data, OLDEST, oldest)
    else
      count = notify_generation(data, generation, last, count)
    end
  end
end

-- Remove a waiter. Notifications that nobody of its generation is left for pass on to those who waited when they were
-- sent.
local function remove_waiter(data, generation)
  if redis.call('HINCRBY', data, WAITERS .. generation, '-1') <= 0 then
    redis.call('HDEL', data, WAITERS .. generation)
  end
  local surplus = count_of(data, NOTIFICATIONS, generation) - count_of(data, WAITERS, generation)
  if surplus <= 0 then return end
  local last = count_of(data, REACH, generation)
  if redis.call('HINCRBY', data, NOTIFICATIONS .. generation, -surplus) <= 0 then
    redis.call('HDEL', data, NOTIFICATIONS .. generation, REACH .. generation)
    redis.call('DEL', data .. ':tokens:' .. generation)
  end
  for later = generation + 1, last do
    surplus = notify_generation(data, later, last, surplus)
  end
end
