-- queue/cancel_putter: stop waiting for room, and take back items of which nobody heard that they were accepted.
--
-- KEYS
--   record       string  last request of the caller
--   data         hash    'n' -> most items; 'o' -> order; 'u' -> unfinished items; 'w', 'q:<waiter>': who waits
--   data:items   any     the items
--   data:tokens  list    hints for who waits
-- ARGV
--   request   int    number of the request
--   waiter    bytes  session and thread
--   since     int    the last request of the caller before it tried
--   items...  bytes  encoded values
-- RETURNS  '.'
-- ERRORS   none
-- WAKES    others, for this one may have swallowed their token

-- @include lib/reply_cache
-- @include lib/size
-- @include lib/wake_for_permits
local record, data = KEYS[1], KEYS[2]
local request, waiter, since = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local last = redis.call('GET', record) or ''
local accepted = string.sub(last, 1, 12) > since and string.sub(last, 13, 14) == '+.'
local left = redis.call('HDEL', data, 'q:' .. waiter)
local state = redis.call('HMGET', data, 'n', 'o', 'u', 'w')
if not state[1] then return save_reply(record, request, '.') end
local waiters = tonumber(state[4] or 0) - left
redis.call('HSET', data, 'w', waiters)
if accepted and state[2] ~= 'p' then
  local removed = 0
  for i = 4, #ARGV do removed = removed + redis.call('LREM', data .. ':items', '-1', ARGV[i]) end
  redis.call('HINCRBY', data, 'u', -removed)
end
local free = state[1] - size_of(data, state[2], false)
if free > 0 and waiters > 0 then wake_for_permits(data, free, waiters) end
return save_reply(record, request, '.')
