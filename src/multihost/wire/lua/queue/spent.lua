-- queue/spent: put the mark of a queue that was shut down or deleted back for the next one. May be repeated.
--
-- KEYS
--   data                  hash  'o' -> order
--   data:items            list  the mark, alone if the queue is empty
--   data:flight:<flight>  list  the mark, behind items that were taken before
-- ARGV
--   flight  bytes  place of who took it
-- RETURNS  nothing
-- ERRORS   GONE SHUTDOWN
-- WAKES    the next consumer that waits

-- @include lib/keep
-- @include lib/mark
local data = KEYS[1]
local flight = ARGV[1]

local items, place = data .. ':items', data .. ':flight:' .. flight
local state = redis.call('HMGET', data, 'o', 'x')
local has_mark = redis.call('LINDEX', place, -1) == ''
if has_mark then redis.call('RPOP', place) end
if not state[1] then
  if has_mark then
    mark_end(items, 'f')
    redis.call('PEXPIRE', items, '1000')
  end
  -- @include lib/refuse
  return redis.error_reply(gone('queue'))
end
if not state[2] then return false end -- it is another one of that name by now
if has_mark then
  mark_end(items, state[1])
  keep(data, items)
end
if redis.call('EXISTS', place) == 0 and redis.call('LLEN', items) == 1 then
  return redis.error_reply('SHUTDOWN the queue was shut down')
end
return false
