-- queue/register_consumer: a session gets places for what it takes out of a queue. May be repeated.
--
-- KEYS
--   data       hash  the queue
--   data:refs  hash  'f:<session>' -> how many places it has: the lists data:flight:<session>.<n>
-- ARGV
--   session  bytes  who takes
--   places   int    how many
-- RETURNS  '.'
-- ERRORS   GONE

-- @include lib/inherit_ttl
local data = KEYS[1]
local session, places = ARGV[1], ARGV[2]

redis.call('HDEL', data .. ':refs', 'n:') -- a full server accepts what follows a deletion, of nothing too
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
redis.call('HSET', data .. ':refs', 'f:' .. session, places)
inherit_ttl(data, data .. ':refs')
return '.'
