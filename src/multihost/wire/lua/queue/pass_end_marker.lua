-- queue/pass_end_marker: put the mark of a queue that was shut down or deleted back for the next one. May be repeated.
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

-- @include lib/inherit_ttl
-- @include lib/end_marker
local data = KEYS[1]
local flight = ARGV[1]

local items, place = data .. ':items', data .. ':flight:' .. flight
local state = redis.call('HMGET', data, 'o', 'x')
local has_mark = redis.call('LINDEX', place, -1) == ''
if has_mark then redis.call('RPOP', place) end
if not state[1] then
  if has_mark then
    put_end_marker(items, 'f')
    redis.call('PEXPIRE', items, '1000')
  end
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
if not state[2] then return false end -- it is another one of that name by now
if has_mark then
  put_end_marker(items, state[1])
  inherit_ttl(data, items)
end
if redis.call('EXISTS', place) == 0 and redis.call('LLEN', items) == 1 then
  return redis.error_reply('SHUTDOWN the queue was shut down')
end
return false
