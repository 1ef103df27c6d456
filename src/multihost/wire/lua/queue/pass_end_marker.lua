-- queue/pass_end_marker: return the end marker of a queue that was shut down or deleted, for the next consumer.
-- Idempotent.
--
-- KEYS
--   data                       hash  ORDER, SHUT_DOWN
--   data:items                 list  the end marker, alone if the queue is empty
--   data:inflight:<in_flight>  list  the end marker, behind items that were taken before
-- ARGV
--   in_flight  bytes  name of the in-flight list: <session>.<n>
-- RETURNS  nothing
-- ERRORS   GONE SHUTDOWN
-- WAKES    the next waiting consumer

-- @include lib/ttl
-- @include lib/queue_fields
-- @include lib/inherit_ttl
-- @include lib/end_marker
-- @include lib/errors
local data = KEYS[1]
local in_flight = ARGV[1]

local items, in_flight_key = data .. ':items', data .. ':inflight:' .. in_flight
local state = redis.call('HMGET', data, ORDER, SHUT_DOWN)
local has_marker = redis.call('LINDEX', in_flight_key, -1) == ''
if has_marker then redis.call('RPOP', in_flight_key) end
if not state[1] then
  if has_marker then
    put_end_marker(items, FIFO)
    redis.call('PEXPIRE', items, BRIEF_TTL)
  end
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
if not state[2] then return false end -- it is another queue of that name by now
if has_marker then
  put_end_marker(items, state[1])
  inherit_ttl(data, items)
end
if redis.call('EXISTS', in_flight_key) == 0 and redis.call('LLEN', items) == 1 then
  return redis.error_reply(QUEUE_SHUT_DOWN)
end
return false
