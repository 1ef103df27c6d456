-- queue/pop_sorted: take the first items of a priority queue. Idempotent.
--
-- A consumer that repeats it does not use the in-flight list again.
--
-- KEYS
--   data                       hash  MAXSIZE, SHUT_DOWN, PUTTERS, GETTERS, GETTER, KIND
--   data:items                 zset  the items
--   data:refs                  hash  CONSUMER
--   data:inflight:<in_flight>  list  the items with their ranks, see lib/rank
--   data:tokens                list  wake-up tokens of putters
--   data:tokens:get            list  wake-up tokens of getters of a priority queue
--   partition:lists            hash  the sessions that have places, or in-flight lists
-- ARGV
--   in_flight  bytes  name of the in-flight list: <session>.<n>
--   count      int    at most so many
--   waiter     bytes  session and thread of the getter that waited; '' = none
-- RETURNS  the items with their ranks; nil if there is none
-- ERRORS   GONE SHUTDOWN
-- WAKES    other getters, if there are more items; putters

-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/inherit_ttl
-- @include lib/wake
-- @include lib/note_lists
-- @include lib/allow_oom
-- @include lib/errors
local data = KEYS[1]
local in_flight, count, waiter = ARGV[1], ARGV[2], ARGV[3]

allow_oom(data)
local items, in_flight_key, tokens = data .. ':items', data .. ':inflight:' .. in_flight, data .. ':tokens:get'
local state = redis.call('HMGET', data, MAXSIZE, SHUT_DOWN, PUTTERS, GETTERS, KIND)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
local had = redis.call('LRANGE', in_flight_key, 0, -1)
if #had > 0 then return had end -- the reply to the first attempt was lost
local session, number = string.match(in_flight, '^(.*)%.(%d+)$')
if tonumber(redis.call('HGET', data .. ':refs', CONSUMER .. session) or 0) < tonumber(number) then
  redis.call('HSET', data .. ':refs', CONSUMER .. session, number) -- the queue was deleted, and created again
  note_lists(data, session, number)
  inherit_ttl(data, data .. ':refs')
end
local found = redis.call('ZRANGE', items, 0, count - 1, 'WITHSCORES')
local waiters = tonumber(state[4] or 0)
if #found == 0 then
  if not state[2] then return false end
  if waiters > 0 then wake(tokens, waiters - redis.call('LLEN', tokens)) end
  return redis.error_reply(QUEUE_SHUT_DOWN)
end
redis.call('ZREMRANGEBYRANK', items, 0, #found / 2 - 1)
local taken = {}
for i = 1, #found, 2 do taken[#taken + 1] = state[5] .. found[i + 1] .. ' ' .. found[i] end
for i = 1, #taken, 1000 do redis.call('RPUSH', in_flight_key, unpack(taken, i, math.min(i + 999, #taken))) end
inherit_ttl(data, in_flight_key)
if waiter ~= '' and redis.call('HDEL', data, GETTER .. waiter) == 1 then
  waiters = waiters - 1
  redis.call('HSET', data, GETTERS, waiters)
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
