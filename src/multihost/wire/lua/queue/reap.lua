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
--   check_waiters  int    1 = check for dead waiters, and consumers without items, too
--   looker         bytes  who looks; '' = look in any case, and at all
-- RETURNS  number of consumers and waiters, state, then session and record of some that are alive; only their number if
--          another one looks just now; nil if there is no queue
-- ERRORS   none
-- WAKES    as many getters as there are items, as many putters as there is room for

-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/live_sessions
-- @include lib/looker
-- @include lib/look_at_waiters
-- @include lib/buried
-- @include lib/size
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake_for_permits
-- @include lib/wake
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

local state = redis.call(
  'HMGET', data, ORDER, MAXSIZE, DELIVERIES, UNFINISHED, SHUT_DOWN, JOINED, PUTTERS, GETTERS, LOOKER .. 'queue'
)
local order, limit = state[1], tonumber(state[3]) or 0
if not order then return false end
local waiting = looked_after(state[9], looker)
if waiting then return waiting end
allow_oom(data)
local turn, cursor, counted, consumers = string.match(previous, '^(%d+) (%d+) (%d+) (%d+)$')
turn, counted, consumers = (tonumber(turn) or 0) + 1, tonumber(counted) or 0, tonumber(consumers) or 0
local refs
refs, cursor = next_part(data .. ':refs', looker, cursor or '0')
local seen, dead = live_sessions(sessions), 0
local living, busy = living_consumers(data, refs, seen)
for i = 1, #refs, 2 do
  local lists, session = lists_of_dead(data, refs[i], refs[i + 1], seen), string.sub(refs[i], 3)
  for n = lists, 1, -1 do -- the last one taken goes back first
    local in_flight_key = data .. ':inflight:' .. session .. '.' .. n
    local _, letters = requeue(data, in_flight_key, order, limit ~= 0, limit, state[5])
    dead = dead + letters
  end
end
seen.judge(busy, turn, JUDGED)
counted = counted + #living
if cursor == '0' then counted, consumers = 0, counted end
if dead > 0 then count_done(data, state[4], dead, state[6]) end
local putters, getters = tonumber(state[7]) or 0, tonumber(state[8]) or 0
if check_waiters == '1' then
  seen.judge(living, turn, JUDGED_IDLE)
  local left = look_at_waiters(data, {[PUTTER] = true, [GETTER] = true, [DONE] = true}, seen, turn)
  putters, getters = left[PUTTER], left[GETTER]
  if state[7] or state[8] then redis.call('HSET', data, PUTTERS, putters, GETTERS, getters) end
end
local size = size_of(data, order, state[5])
if putters > 0 and not state[5] then wake_for_permits(data, state[2] - size, putters) end
if getters > 0 then
  wake(data .. ':tokens:get', math.min(size, getters) - redis.call('LLEN', data .. ':tokens:get'))
end
local waiters = math.max(consumers, counted) + putters + getters
note_look(data, LOOKER .. 'queue', looker, waiters)
return seen.append_to({waiters, turn .. ' ' .. cursor .. ' ' .. counted .. ' ' .. consumers})
