-- lib/task: the client of a task, and the way of a task out of the pool.
--
-- A task ends with 64 bytes: 22 of the client that sent it (its results go to the unnamed queue clients:<id>), 1 that
-- says how it is pickled, 5 digits: how often it may be started, 36 digits: its number. In front stands how often it
-- was started (lib/delivery).

-- @include lib/codes
-- @include lib/queue_fields
-- @include lib/stored_bytes
-- @include lib/inherit_ttl
local LOST = '!' -- <times started><number of the task>: the result of a task whose worker died

-- Return how often a task was started, if that was often enough; false if it may be run.
local function is_exhausted(item)
  if string.byte(item) ~= DELIVERED then return false end
  -- @include lib/delivery
  local count = delivery_count(item)
  return count >= (tonumber(string.sub(item, -41, -37)) or 0) and count
end

-- Return the key of the queue in which the client of a task waits for its result; false if the client has closed.
local function result_queue_of(clients, task)
  local client = clients .. ':' .. string.sub(task, -64, -43)
  return redis.call('EXISTS', client) == 1 and client
end

-- Put a result into that queue.
local function put_result(client, value)
  if string.byte(value) == LINKED then
    -- @include lib/refs
    references(client).add(value)
  end
  if redis.call('RPUSH', client .. ':items', value) == 1 then inherit_ttl(client, client .. ':items') end
end

-- Count a task that has left the pool. Return CUT if the client has an object to disown, else OK.
local function release_task(data, item)
  redis.call('HINCRBY', data, UNFINISHED, '-1')
  local count, value = 0, item
  if string.byte(item) == DELIVERED then
    -- @include lib/delivery
    count, value = delivery_count(item)
  end
  if string.byte(value) ~= LINKED then return OK end
  -- @include lib/refs
  return references(data).remove(value)
end
