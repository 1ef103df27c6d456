-- queue/recover: move items that a client took without hearing of it to another in-flight list of it. Idempotent.
--
-- If they are fewer than it asked for, others follow from the queue, unless that is sorted. A consumer that repeats it
-- does not use the in-flight list again.
--
-- KEYS
--   data                       hash  MAXSIZE, ORDER, SHUT_DOWN, PUTTERS
--   data:items                 list  the items
--   data:refs                  hash  CONSUMER
--   data:inflight:<in_flight>  list  where they go
--   data:inflight:<doubtful>   list  where they are
--   data:tokens                list  wake-up tokens of putters
-- ARGV
--   in_flight  bytes  name of the in-flight list: <session>.<n>
--   doubtful   bytes  name of the other one
--   count      int    at most so many
-- RETURNS  how many are left there, then the items
-- ERRORS   none
-- WAKES    as many putters as there is room for

-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/inherit_ttl
-- @include lib/size
-- @include lib/allow_oom
local data = KEYS[1]
local in_flight, doubtful, count = ARGV[1], ARGV[2], ARGV[3]

allow_oom(data)
count = tonumber(count)
local items, to, from = data .. ':items', data .. ':inflight:' .. in_flight, data .. ':inflight:' .. doubtful
local taken = redis.call('LRANGE', to, 0, -1)
if #taken == 0 then -- else the reply to the first attempt was lost
  while #taken < count do
    local item = redis.call('LINDEX', from, 0)
    if not item or item == '' then break end -- an end-of-queue marker is requeued
    taken[#taken + 1] = redis.call('LMOVE', from, to, 'LEFT', 'RIGHT')
  end
  local state = redis.call('HMGET', data, ORDER, MAXSIZE, PUTTERS, SHUT_DOWN)
  local session, number = string.match(in_flight, '^(.*)%.(%d+)$')
  local known = tonumber(redis.call('HGET', data .. ':refs', CONSUMER .. session) or 0) >= tonumber(number)
  if #taken > 0 and #taken < count and known and state[1] and state[1] ~= PRIORITY then
    for _ = 1, math.min(count - #taken, size_of(data, state[1], state[4])) do
      taken[#taken + 1] = redis.call('LMOVE', items, to, state[1] == LIFO and 'RIGHT' or 'LEFT', 'RIGHT')
    end
    local waiters = tonumber(state[3] or 0)
    if waiters > 0 then
      -- @include lib/wake_for_permits
      wake_for_permits(data, state[2] - redis.call('LLEN', items), waiters)
    end
  end
  inherit_ttl(data, to)
end
table.insert(taken, 1, redis.call('LLEN', from))
return taken
