-- queue/reap: requeue items of dead consumers, wake waiters whose tokens were lost, remove dead waiters. Idempotent.
--
-- KEYS
--   data                       hash    MAXSIZE, ORDER, DELIVERIES, UNFINISHED, SHUT_DOWN, JOINED, PUTTERS, PUTTER,
--                                      GETTERS, GETTER, KIND, DONE
--   data:items                 any     the items
--   data:refs                  hash    CONSUMER, BURIED
--   data:inflight:<in_flight>  list    items that a consumer has in flight
--   data:dead                  list    dead letters
--   data:tokens                list    wake-up tokens of putters
--   data:tokens:get            list    wake-up tokens of getters of a priority queue
--   data:tokens:join           list    one token for processes in join(), while nothing is unfinished
--   sessions                   prefix  of the session keys
--   sessions:<id>              hash    record of one, while it is alive
--   partition:lists            hash    the sessions that have places, or in-flight lists
-- ARGV
--   previous       bytes  state that the previous reap of this process found
--   check_waiters  int    1 = check for dead waiters, too
-- RETURNS  number of consumers and waiters, state, then session and record of each that is alive; nil if there is
--          no queue
-- ERRORS   none
-- WAKES    as many getters as there are items, as many putters as there is room for

-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/live_sessions
-- @include lib/buried
-- @include lib/size
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake_for_permits
-- @include lib/wake
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, ORDER, MAXSIZE, DELIVERIES, UNFINISHED, SHUT_DOWN, JOINED, PUTTERS, GETTERS)
local order, limit = state[1], tonumber(state[3]) or 0
if not order then return false end
local seen, consumers, dead = live_sessions(sessions), 0, 0
local refs = redis.call('HGETALL', data .. ':refs')
allow_oom(data)
for i = 1, #refs, 2 do
  local lists, session = lists_of_dead(data, refs[i], refs[i + 1], seen), string.sub(refs[i], 3)
  for n = lists, 1, -1 do -- the last one taken goes back first
    local in_flight_key = data .. ':inflight:' .. session .. '.' .. n
    local _, letters = requeue(data, in_flight_key, order, limit ~= 0, limit, state[5])
    dead = dead + letters
  end
  if lists == 0 and string.sub(refs[i], 1, 2) == CONSUMER then consumers = consumers + 1 end
end
if dead > 0 then count_done(data, state[4], dead, state[6]) end
local putters, getters = tonumber(state[7]) or 0, tonumber(state[8]) or 0
if check_waiters == '1' then
  putters, getters = 0, 0
  for _, field in ipairs(redis.call('HKEYS', data)) do
    local kind = string.sub(field, 1, 2)
    if kind == PUTTER or kind == GETTER or kind == DONE then
      if not seen.info(string.sub(field, 3)) then
        redis.call('HDEL', data, field)
      elseif kind == PUTTER then
        putters = putters + 1
      elseif kind == GETTER then
        getters = getters + 1
      end
    end
  end
  if state[7] or state[8] then redis.call('HSET', data, PUTTERS, putters, GETTERS, getters) end
end
local size = size_of(data, order, state[5])
if putters > 0 and not state[5] then wake_for_permits(data, state[2] - size, putters) end
if getters > 0 then
  wake(data .. ':tokens:get', math.min(size, getters) - redis.call('LLEN', data .. ':tokens:get'))
end
return seen.append_to({consumers + putters + getters, previous})
