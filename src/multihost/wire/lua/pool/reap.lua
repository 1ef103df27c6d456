-- pool/reap: give back what dead workers had, and tell clients of tasks that are lost. May be repeated.
--
-- Workers that wait look with queue/reap; this is for clients, which wait for results of workers that may all be dead.
--
-- KEYS
--   data                  hash    the pool
--   sessions              prefix  of the sessions
--   clients               prefix  of those who wait for results
--   sessions:<id>         string  one of them
--   clients:<id>          any     the queue of one of them, and what belongs to that
--   data:items            list    the tasks
--   data:refs             hash    'f:<session>' -> how many places it has
--   data:flight:<flight>  list    a place
--   data:dead             list    not used
-- ARGV
--   before  bytes  what the last look of this process found
--   prune   int    1 = look for dead waiters, too, of which a pool has no list
-- RETURNS  the number of workers, what was found, then each of them that lives, and what it says of itself; nil if
--          there is no pool
-- ERRORS   none
-- WAKES    clients

-- @include lib/live_sessions
-- @include lib/inherit_ttl
-- @include lib/requeue
-- @include lib/task
local data, sessions, clients = KEYS[1], KEYS[2], KEYS[3]
local before, prune = ARGV[1], ARGV[2]

if redis.call('EXISTS', data) == 0 then return false end
redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local seen, workers = live_sessions(sessions), 0
local refs = redis.call('HGETALL', data .. ':refs')
for i = 1, #refs, 2 do
  if string.sub(refs[i], 1, 2) == 'f:' then
    local session = string.sub(refs[i], 3)
    if seen.note(session) then
      workers = workers + 1
    else
      for n = tonumber(refs[i + 1]), 1, -1 do
        requeue(data, data .. ':flight:' .. session .. '.' .. n, 'f', true, -1)
      end
      redis.call('HDEL', data .. ':refs', refs[i])
    end
  end
end
for _, item in ipairs(redis.call('LRANGE', data .. ':items', 0, 99)) do -- what came back stands in front
  local lost = is_exhausted(item)
  if lost and redis.call('LREM', data .. ':items', 1, item) == 1 then
    release_task(data, item)
    local client = result_queue_of(clients, item)
    if client then put_result(client, '!' .. lost .. string.sub(item, -36)) end
  end
end
return seen.append_to({workers, before})
