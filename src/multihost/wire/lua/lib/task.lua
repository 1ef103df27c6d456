-- lib/task: whose a task is, and how it leaves the pool. Needs lib/inherit_ttl.
--
-- A task ends with 64 bytes: 22 of the client whose it is (the unnamed queue clients:<id> takes its results), 1 that
-- says how it is pickled, 5 digits: how often it may be begun, 36 digits: its number. '*<n>;' stands before one that
-- was begun n times.

-- How often a task was begun, if that was often enough; false if it may be run.
local function is_exhausted(item)
  local times = string.byte(item) == 42 and tonumber(string.match(item, '^%*(%d+);'))
  return times and times >= tonumber(string.sub(item, -41, -37)) and times
end

-- The key of the queue in which the client of a task waits for what becomes of it; false if the client has gone.
local function result_queue_of(clients, task)
  local client = clients .. ':' .. string.sub(task, -64, -43)
  return redis.call('EXISTS', client) == 1 and client
end

-- Put a value there.
local function put_result(client, value)
  if string.byte(value) == 64 then
    -- @include lib/refs
    references(client).add(value)
  end
  if redis.call('RPUSH', client .. ':items', value) == 1 then inherit_ttl(client, client .. ':items') end
end

-- A task has left the pool. Returns '!' if objects were let go.
local function release_task(data, item)
  redis.call('HINCRBY', data, 'u', '-1')
  if string.byte(item) == 42 then item = string.match(item, '^%*%d+;(.*)$') end
  if string.byte(item) ~= 64 and string.byte(item) ~= 35 then return '.' end
  -- @include lib/refs
  return references(data).remove(item)
end
