-- condition/enqueue: enqueue a waiter. The lock is released after this.
--
-- Waiters belong to a generation. A new one begins if there are notifications that have not been claimed: those are for
-- the waiters that were there before. O(generations), of which there is one as a rule.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    GENERATION, OLDEST, WAITERS, REACH, WAITER
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  the generation
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/condition_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, GENERATION, OLDEST)
local generation = state[1]
if not generation then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('condition'))
end
for earlier = tonumber(state[2] or 0), tonumber(generation) do
  local reach = redis.call('HGET', data, REACH .. earlier)
  if reach and tonumber(reach) >= tonumber(generation) then
    generation = redis.call('HINCRBY', data, GENERATION, '1') .. ''
    break
  end
end
redis.call('HSET', data, WAITER .. waiter, generation)
redis.call('HINCRBY', data, WAITERS .. generation, '1')
return save_reply(reply_cache, request, generation)
