-- queue/pop_sorted: take the first items of a priority queue. May be repeated.
--
-- Who repeats it does not use the place again.
--
-- KEYS
--   data                  hash  'n' -> most items; 'x' -> it was shut down; 'w' -> who waits for room; 'gw',
--                               'g:<waiter>': who waits for an item; 'k' -> kind of the items
--   data:items            zset  the items
--   data:refs             hash  'f:<session>' -> how many places it has
--   data:flight:<flight>  list  where they go, each behind the kind of all items and its score
--   data:tokens           list  hints for who waits for room
--   data:tokens:get       list  hints for who waits for an item
-- ARGV
--   flight  bytes  place of who takes them
--   count   int    at most so many
--   waiter  bytes  who waited; '' = nobody
-- RETURNS  the items, as they lie there; nil if there is none
-- ERRORS   GONE SHUTDOWN
-- WAKES    others, if there are more items; who waits for room

-- @include lib/inherit_ttl
-- @include lib/wake
local data = KEYS[1]
local flight, count, waiter = ARGV[1], ARGV[2], ARGV[3]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local items, place, tokens = data .. ':items', data .. ':flight:' .. flight, data .. ':tokens:get'
local state = redis.call('HMGET', data, 'n', 'x', 'w', 'gw', 'k')
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
local had = redis.call('LRANGE', place, 0, -1)
if #had > 0 then return had end -- nobody heard of the first attempt
local session, number = string.match(flight, '^(.*)%.(%d+)$')
if tonumber(redis.call('HGET', data .. ':refs', 'f:' .. session) or 0) < tonumber(number) then
  redis.call('HSET', data .. ':refs', 'f:' .. session, number) -- the queue was deleted, and made again
  inherit_ttl(data, data .. ':refs')
end
local found = redis.call('ZRANGE', items, 0, count - 1, 'WITHSCORES')
local waiters = tonumber(state[4] or 0)
if #found == 0 then
  if not state[2] then return false end
  if waiters > 0 then wake(tokens, waiters - redis.call('LLEN', tokens)) end
  return redis.error_reply('SHUTDOWN the queue was shut down')
end
redis.call('ZREMRANGEBYRANK', items, 0, #found / 2 - 1)
local taken = {}
for i = 1, #found, 2 do taken[#taken + 1] = state[5] .. found[i + 1] .. ' ' .. found[i] end
for i = 1, #taken, 1000 do redis.call('RPUSH', place, unpack(taken, i, math.min(i + 999, #taken))) end
inherit_ttl(data, place)
if waiter ~= '' and redis.call('HDEL', data, 'g:' .. waiter) == 1 then
  waiters = waiters - 1
  redis.call('HSET', data, 'gw', waiters)
end
if waiters > 0 or state[3] then
  local size = redis.call('ZCARD', items)
  if waiters > 0 then wake(tokens, math.min(size, waiters) - redis.call('LLEN', tokens)) end
  if tonumber(state[3] or 0) > 0 then
    -- @include lib/wake_for_permits
    wake_for_permits(data, state[1] - size, tonumber(state[3]))
  end
end
return taken
