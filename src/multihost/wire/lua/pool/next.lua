-- pool/next: say what became of a task, and take the next one. May be repeated.
--
-- Who repeats it because a connection broke does not use the place again: the first attempt may still arrive.
--
-- KEYS
--   data                  hash    'u' -> tasks that are not done
--   clients               prefix  of those who wait for results
--   clients:<id>          any     the queue of one of them, and what belongs to that
--   data:items            list    the tasks
--   data:flight:<flight>  list    the task that this worker has
--   data:refs             hash    unnamed objects contained
-- ARGV
--   flight  bytes  place of the worker
--   done    bytes  the last 64 bytes of the task that is done; '' = none
--   result  bytes  what became of it
--   more    int    1 = take another one
-- RETURNS  '.' or '!' (objects were let go), and the task if there is one
-- ERRORS   GONE
-- WAKES    the client

-- @include lib/inherit_ttl
-- @include lib/task
local data, clients = KEYS[1], KEYS[2]
local flight, done, result, more = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local items, place, flag = data .. ':items', data .. ':flight:' .. flight, '.'
local here, exists = redis.call('LINDEX', place, 0), redis.call('EXISTS', data) == 1
local client
if here and done ~= '' and string.sub(here, -64) == done then
  redis.call('DEL', place)
  if exists then flag = release_task(data, here) end -- its lease may have ended before that of the place
  client = result_queue_of(clients, done)
  if client then put_result(client, result) end
  here = false
end
if more == '0' or here then return {flag, here or nil} end
if not exists then
  -- @include lib/save_error
  return redis.error_reply(object_gone('pool'))
end
for _ = 1, 1000 do -- so many that nobody waits for, at most
  local item = redis.call('LMOVE', items, place, 'LEFT', 'RIGHT')
  if not item then break end
  if not client or string.sub(item, -64, -43) ~= string.sub(client, -22) then client = result_queue_of(clients, item) end
  local lost = is_exhausted(item)
  if client and not lost then
    if string.find(data, '}:u:', 1, true) then inherit_ttl(data, place) end
    return {flag, item}
  end
  redis.call('DEL', place)
  if item ~= '' and release_task(data, item) == '!' then flag = '!' end -- '' is left of a pool of that name
  if client then put_result(client, '!' .. lost .. string.sub(item, -36)) end
end
return {flag}
