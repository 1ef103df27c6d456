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
--   previous       bytes  NOT USED: all reap scripts have the same arguments
--   check_waiters  int    NOT USED: all reap scripts have the same arguments
-- RETURNS  number of workers, state, then session and record of each worker that is alive; nil if there is no
--          pool
-- ERRORS   none
-- WAKES    clients

-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/live_sessions
-- @include lib/buried
-- @include lib/requeue
-- @include lib/task
-- @include lib/allow_oom
local data, sessions, clients = KEYS[1], KEYS[2], KEYS[3]
local previous, check_waiters = ARGV[1], ARGV[2]

if redis.call('EXISTS', data) == 0 then return false end
allow_oom(data)
local seen, workers = live_sessions(sessions), 0
local refs = redis.call('HGETALL', data .. ':refs')
for i = 1, #refs, 2 do
  local lists, session = lists_of_dead(data, refs[i], refs[i + 1], seen), string.sub(refs[i], 3)
  for n = lists, 1, -1 do
    requeue(data, data .. ':inflight:' .. session .. '.' .. n, FIFO, true, -1)
  end
  if lists == 0 and string.sub(refs[i], 1, 2) == CONSUMER then workers = workers + 1 end
end
for _, item in ipairs(redis.call('LRANGE', data .. ':items', 0, 99)) do -- what was put back is at the head
  local starts = is_exhausted(item)
  if starts and redis.call('LREM', data .. ':items', 1, item) == 1 then
    release_task(data, item)
    local client = result_queue_of(clients, item)
    if client then put_result(client, LOST .. starts .. string.sub(item, -36)) end
  end
end
return seen.append_to({workers, previous})
