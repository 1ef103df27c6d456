-- semaphore/release: give permits back, or add new ones.
--
-- Permits that this session does not have are taken from the accounts of others, so that none comes back twice when
-- their sessions die. Who ended in order without a release leaves that to others: as many may follow.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'v' -> free permits; 'n' -> initial value; 'w' -> waiters; 'p:<session>' -> its permits;
--                        'o' -> how many releases were left out
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   session  bytes  who gives
--   amount   int    how many, at least 1
--   own      int    how many of them it believes to have
--   bounded  int    1 = never more than the initial value
-- RETURNS  '.'; '?' if the session has less than it believes, and nothing was changed; '>' if there would be too many
-- ERRORS   GONE
-- WAKES    as many waiters as there are permits

-- @include lib/reply_cache
local record, data = KEYS[1], KEYS[2]
local request, session, amount, own, bounded = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
amount, own = tonumber(amount), tonumber(own)
local field = 'p:' .. session
local state = redis.call('HMGET', data, 'v', 'n', 'w', field)
local free, value = tonumber(state[1]), tonumber(state[2])
local waiters, had = tonumber(state[3] or 0), tonumber(state[4] or 0)
if not free then
  -- @include lib/save_error
  return save_error(record, request, object_gone('semaphore'))
end
if had < own then return save_reply(record, request, '?') end
if bounded == '1' and free + amount > value then
  local owed = tonumber(redis.call('HGET', data, 'o') or 0)
  if owed < amount then return save_reply(record, request, '>') end
  redis.call('HDEL', data, 'o')
  if owed > amount then redis.call('HSET', data, 'o', owed - amount) end
  return save_reply(record, request, '.')
end

-- A full server accepts what follows a deletion.
redis.call('HDEL', data, field)
if had > amount then redis.call('HSET', data, field, had - amount) end
local missing = amount - had
if missing > 0 and redis.call('HLEN', data) > 3 then
  for _, other in ipairs(redis.call('HKEYS', data)) do
    if missing > 0 and string.sub(other, 1, 2) == 'p:' then
      local has = tonumber(redis.call('HGET', data, other))
      redis.call('HDEL', data, other)
      if has > missing then redis.call('HSET', data, other, has - missing) end
      missing = missing - has
    end
  end
end
free = free + amount
redis.call('HSET', data, 'v', free)
if waiters > 0 then
  -- @include lib/wake_for_permits
  wake_for_permits(data, free, waiters)
end
return save_reply(record, request, '.')
