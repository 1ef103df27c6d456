-- pool/settle: settle a pool with a client, after the server may have gone back. Idempotent. O(tasks of the pool).
--
-- Tasks that the client has the results of need not run again. Those that are neither in the pool nor done are lost.
--
-- KEYS
--   data                       hash    UNFINISHED
--   clients                    prefix  of the clients
--   clients:<id>               any     result queue of the client, with :items and the like
--   data:items                 list    tasks
--   data:inflight:<in_flight>  list    the task of a worker
--   data:refs                  hash    CONSUMER, BURIED
--   data:contains              hash    how often it contains unnamed objects
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
-- ARGV
--   client      bytes  22 of it
--   numbers...  bytes  of the tasks whose results it waits for
-- RETURNS  OK or CUT, then the numbers of those that are lost; nil if there is no pool, or no such client
-- ERRORS   none

-- @include lib/task
-- @include lib/in_flight_lists
-- @include lib/allow_oom
local data, clients = KEYS[1], KEYS[2]
local client = ARGV[1]

local results = clients .. ':' .. client
if redis.call('EXISTS', data) == 0 or redis.call('EXISTS', results) == 0 then return false end
allow_oom(data)
local lost = {}
for i = 2, #ARGV do lost[ARGV[i]] = true end
local answer, items, finished = {OK}, data .. ':items', {}
for first = 0, redis.call('LLEN', items) - 1, 100 do -- in pages: tasks may be large
  for _, item in ipairs(redis.call('LRANGE', items, first, first + 99)) do
    local number = string.sub(item, -36)
    if string.sub(item, -64, -43) == client then
      if lost[number] == nil then finished[#finished + 1] = item else lost[number] = false end
    end
  end
end
for _, item in ipairs(finished) do
  redis.call('LREM', items, 1, item)
  if release_task(data, item) == CUT then answer[1] = CUT end
end
local lists = in_flight_lists(results)
lists[#lists + 1] = results .. ':items'
for _, list in ipairs(in_flight_lists(data)) do lists[#lists + 1] = list end
for _, list in ipairs(lists) do
  for _, item in ipairs(redis.call('LRANGE', list, 0, -1)) do
    local number = string.sub(item, -36) -- of a task, or of its result
    if lost[number] then lost[number] = false end
  end
end
for i = 2, #ARGV do
  if lost[ARGV[i]] then answer[#answer + 1] = ARGV[i] end
end
return answer
