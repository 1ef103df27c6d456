-- pool/next: return the result of a task, and take the next task. Idempotent.
--
-- A worker that repeats it because a connection broke does not use the in-flight list again: the first attempt may
-- still arrive.
--
-- KEYS
--   data                       hash    UNFINISHED
--   clients                    prefix  of the clients
--   clients:<id>               any     result queue of a client, with :items and :contains
--   data:items                 list    tasks
--   data:inflight:<in_flight>  list    the task of the worker
--   data:contains              hash    how often it contains unnamed objects
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
-- ARGV
--   in_flight  bytes  name of the in-flight list of the worker
--   done       bytes  the last 64 bytes of the finished task; '' = none
--   result     bytes  of that task
--   more       int    1 = take another one
-- RETURNS  OK or CUT, and the task if there is one
-- ERRORS   GONE
-- WAKES    the client

-- @include lib/inherit_ttl
-- @include lib/task
-- @include lib/allow_oom
local data, clients = KEYS[1], KEYS[2]
local in_flight, done, result, more = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

allow_oom(data)
local items, in_flight_key, code = data .. ':items', data .. ':inflight:' .. in_flight, OK
local task, exists = redis.call('LINDEX', in_flight_key, 0), redis.call('EXISTS', data) == 1
local client
if task and done ~= '' and string.sub(task, -64) == done then
  redis.call('DEL', in_flight_key)
  if exists then code = release_task(data, task) end -- its lease may have ended before that of the in-flight list
  client = result_queue_of(clients, done)
  if client then put_result(client, result) end
  task = false
end
if more == '0' or task then return {code, task or nil} end
if not exists then
  -- @include lib/save_error
  return redis.error_reply(object_gone('pool'))
end
for _ = 1, 1000 do -- skip so many of closed clients, at most
  local item = redis.call('LMOVE', items, in_flight_key, 'LEFT', 'RIGHT')
  if not item then break end
  if not client or string.sub(item, -64, -43) ~= string.sub(client, -22) then
    client = result_queue_of(clients, item)
  end
  local starts = is_exhausted(item)
  if client and not starts then
    if string.find(data, '}:u:', 1, true) then inherit_ttl(data, in_flight_key) end
    return {code, item}
  end
  redis.call('DEL', in_flight_key)
  -- An empty item is the end marker of a deleted pool of that name.
  if item ~= '' and release_task(data, item) == CUT then code = CUT end
  if client then put_result(client, LOST .. starts .. string.sub(item, -36)) end
end
return {code}
