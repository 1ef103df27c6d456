-- queue/spent: put the mark of a queue that was shut down or deleted back for the next one. May be repeated.
--
-- KEYS
--   data                  hash  'o' -> order; 'x' -> it was shut down
--   data:items            list  the mark, alone if the queue is empty
--   data:flight:<flight>  list  the mark, behind items that were taken before
-- ARGV
--   flight  bytes  place of who took it
-- RETURNS  nothing
-- ERRORS   GONE SHUTDOWN
-- WAKES    the next consumer that waits

-- @include lib/keep
local data = KEYS[1]
local flight = ARGV[1]

local items, place = data .. ':items', data .. ':flight:' .. flight
local state = redis.call('HMGET', data, 'o', 'x')
local order = state[1]
local has_mark = redis.call('LINDEX', place, -1) == ''
if has_mark then redis.call('RPOP', place) end
if not order then
  if has_mark then
    redis.call('RPUSH', items, '')
    redis.call('PEXPIRE', items, '1000')
  end
  -- @include lib/refuse
  return redis.error_reply(gone('queue'))
end
if not state[2] then return false end -- the mark was for an earlier queue of that name
if has_mark then
  redis.call(order == 'l' and 'LPUSH' or 'RPUSH', items, '')
  keep(data, items)
end
if redis.call('EXISTS', place) == 0 and redis.call('LLEN', items) == 1 then
  return redis.error_reply('SHUTDOWN the queue was shut down')
end
return false
