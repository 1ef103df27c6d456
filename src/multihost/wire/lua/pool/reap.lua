-- pool/reap: requeue the tasks of dead workers, and report tasks that are lost to their clients. Idempotent.
--
-- Waiting workers call queue/reap; this is for clients, which wait for results of workers that may all be dead.
--
-- KEYS
--   data                       hash    UNFINISHED, KIND
--   sessions                   prefix  of the session keys
--   clients                    prefix  of the clients
--   sessions:<id>              hash    record of one, while it is alive
--   clients:<id>               any     result queue of a client, with :items and :contains
--   data:items                 list    tasks
--   data:refs                  hash    CONSUMER, BURIED
--   data:inflight:<in_flight>  list    the task of a worker
--   data:dead                  list    NOT USED: no task becomes a dead letter
--   data:contains              hash    how often it contains unnamed objects
--   partition:lists            hash    the sessions that have places, or in-flight lists
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
-- ARGV
--   previous       bytes  state that the previous reap of this process found
--   check_waiters  int    1 = check for dead workers without a task, too
--   looker         bytes  who looks; '' = look in any case, and at all
-- RETURNS  number of workers, state, then session and record of some that are alive; only their number if another
--          client looks just now; nil if there is no pool
-- ERRORS   none
-- WAKES    clients

-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/live_sessions
-- @include lib/looker
-- @include lib/buried
-- @include lib/requeue
-- @include lib/task
-- @include lib/allow_oom
local data, sessions, clients = KEYS[1], KEYS[2], KEYS[3]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', data) == 0 then return false end
local waiting = looked_after(redis.call('HGET', data, LOOKER .. 'pool'), looker)
if waiting then return waiting end
allow_oom(data)
local turn, cursor, counted, workers = string.match(previous, '^(%d+) (%d+) (%d+) (%d+)$')
turn, counted, workers = (tonumber(turn) or 0) + 1, tonumber(counted) or 0, tonumber(workers) or 0
local refs
refs, cursor = next_part(data .. ':refs', looker, cursor or '0')
local seen = live_sessions(sessions)
local living, busy = living_consumers(data, refs, seen)
for i = 1, #refs, 2 do
  local lists, session = lists_of_dead(data, refs[i], refs[i + 1], seen), string.sub(refs[i], 3)
  for n = lists, 1, -1 do
    requeue(data, data .. ':inflight:' .. session .. '.' .. n, FIFO, true, -1)
  end
end
seen.judge(busy, turn, JUDGED)
if check_waiters == '1' then seen.judge(living, turn, JUDGED_IDLE) end
counted = counted + #living
if cursor == '0' then counted, workers = 0, counted end
for _, item in ipairs(redis.call('LRANGE', data .. ':items', 0, 99)) do -- what was put back is at the head
  local starts = is_exhausted(item)
  if starts and redis.call('LREM', data .. ':items', 1, item) == 1 then
    release_task(data, item)
    local client = result_queue_of(clients, item)
    if client then put_result(client, LOST .. starts .. string.sub(item, -36)) end
  end
end
workers = math.max(workers, counted)
note_look(data, LOOKER .. 'pool', looker, workers)
return seen.append_to({workers, turn .. ' ' .. cursor .. ' ' .. counted .. ' ' .. workers})
