-- semaphore/cancel: stop waiting for a permit, and give back one whose grant was not heard of.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'v' -> free permits; 'w', 'q:<waiter>': waiters; 'p:<session>' -> its permits
--   data:tokens  list    hints for who waits
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
--   session  bytes  who waits
--   since    int    the last request of the caller before it tried
-- RETURNS  '.'
-- ERRORS   none
-- WAKES    others, for this one may have swallowed their token

-- @include lib/reply_cache
-- @include lib/wake_for_permits
local record, data = KEYS[1], KEYS[2]
local request, waiter, session, since = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(record, request)
if done then return done[1] end
local last = redis.call('GET', record) or ''
local granted = string.sub(last, 1, 12) > since and string.find(last, '^%+%d', 13) -- not that it left already
local field = 'p:' .. session
local left = redis.call('HDEL', data, 'q:' .. waiter)
local state = redis.call('HMGET', data, 'v', 'w', field)
local free, waiters = tonumber(state[1]), tonumber(state[2] or 0) - left
if not free then return save_reply(record, request, '.') end
if granted and state[3] then
  redis.call('HDEL', data, field)
  if state[3] ~= '1' then redis.call('HSET', data, field, state[3] - 1) end
  free = free + 1
end
redis.call('HSET', data, 'v', free, 'w', waiters)
if free > 0 and waiters > 0 then wake_for_permits(data, free, waiters) end
return save_reply(record, request, '.')
