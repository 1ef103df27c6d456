-- semaphore/release: give permits back, or add new ones.
--
-- Permits that this session does not have are taken from the accounts of others, so that none comes back twice when
-- their sessions die. A process that exited without a release leaves that to others: as many releases may follow.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    FREE_PERMITS, INITIAL_VALUE, WAITERS, PERMITS, UNRELEASED
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int    number of the request
--   session  bytes  of the holder
--   amount   int    how many, at least 1
--   own      int    how many of them the session is to have
--   bounded  int    1 = never more than the initial value
-- RETURNS  OK; NOT_HELD; EXCEEDED
-- ERRORS   GONE
-- WAKES    as many waiters as there are permits

-- @include lib/reply_cache
-- @include lib/semaphore_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, session, amount, own, bounded = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
amount, own = tonumber(amount), tonumber(own)
local field = PERMITS .. session
local state = redis.call('HMGET', data, FREE_PERMITS, INITIAL_VALUE, WAITERS, field)
local free, value = tonumber(state[1]), tonumber(state[2])
local waiters, had = tonumber(state[3] or 0), tonumber(state[4] or 0)
if not free then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('semaphore'))
end
if had < own then return save_reply(reply_cache, request, NOT_HELD) end
if bounded == '1' and free + amount > value then
  local unreleased = tonumber(redis.call('HGET', data, UNRELEASED) or 0)
  if unreleased < amount then return save_reply(reply_cache, request, EXCEEDED) end
  redis.call('HDEL', data, UNRELEASED)
  if unreleased > amount then redis.call('HSET', data, UNRELEASED, unreleased - amount) end
  return save_reply(reply_cache, request, OK)
end

redis.call('HDEL', data, field) -- first, see lib/allow_oom
if had > amount then redis.call('HSET', data, field, had - amount) end
local missing = amount - had
if missing > 0 and redis.call('HLEN', data) > 3 then
  for _, other in ipairs(redis.call('HKEYS', data)) do
    if missing > 0 and string.sub(other, 1, 2) == PERMITS then
      local count = tonumber(redis.call('HGET', data, other))
      redis.call('HDEL', data, other)
      if count > missing then redis.call('HSET', data, other, count - missing) end
      missing = missing - count
    end
  end
end
free = free + amount
redis.call('HSET', data, FREE_PERMITS, free)
if waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return save_reply(reply_cache, request, OK)
