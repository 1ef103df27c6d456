-- object/sweep: remove the remains of an object that does not exist. Idempotent.
--
-- A client that creates an object of that name begins with all of this removed. What expires by itself is left to that:
-- it may be the end marker that a deleted queue leaves for its consumers.
--
-- KEYS
--   names                      hash    names of the partition
--   data                       any     the object
--   data:index                 zset    its order
--   data:originals             hash    its original keys or members
--   data:items                 any     items of a queue
--   data:dead                  list    dead letters of a queue
--   data:inflight:<in_flight>  list    items that a consumer has in flight
--   data:free                  list    free elements of a lock or a semaphore
--   data:held:<place>          list    what a session holds
--   sessions                   prefix  of the session keys
--   sessions:<id>              hash    record of one, while it is alive
--   data:contains              hash    how often it contains unnamed objects
-- ARGV
--   name      bytes  '' = unnamed
--   kind      bytes  entry of the name; '' = leave the names alone
--   lists...  bytes  in-flight lists and places: inflight:<session>.<n>, held:<session>.<n>
-- RETURNS  how many names and keys were removed
-- ERRORS   none

local names, data, sessions = KEYS[1], KEYS[2], KEYS[3]
local name, kind = ARGV[1], ARGV[2]

if redis.call('EXISTS', data) == 1 then return 0 end
local removed = 0
if kind ~= '' and redis.call('HGET', names, name) == kind then removed = redis.call('HDEL', names, name) end
local function remove(key)
  if redis.call('PTTL', key) == -1 then removed = removed + redis.call('UNLINK', key) end
end
remove(data .. ':index')
remove(data .. ':originals')
remove(data .. ':contains')
remove(data .. ':items')
remove(data .. ':dead')
remove(data .. ':free')
for i = 3, #ARGV do
  local kind, session = string.match(ARGV[i], '^(%a+):([^.]*)')
  if redis.call('EXISTS', sessions .. ':' .. session) == 0 then
    if kind == 'held' then
      remove(data .. ':held:' .. string.sub(ARGV[i], 6))
    else
      remove(data .. ':inflight:' .. string.sub(ARGV[i], 10))
    end
  end
end
return removed
