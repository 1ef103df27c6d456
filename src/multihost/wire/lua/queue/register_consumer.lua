-- queue/register_consumer: give a session in-flight lists for a queue. Idempotent.
--
-- KEYS
--   data             hash  the queue
--   data:refs        hash  CONSUMER
--   partition:lists  hash  the sessions that have in-flight lists
-- ARGV
--   session  bytes  of the consumer
--   lists    int    how many
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/codes
-- @include lib/refs_fields
-- @include lib/inherit_ttl
-- @include lib/note_lists
-- @include lib/allow_oom
local data = KEYS[1]
local session, lists = ARGV[1], ARGV[2]

allow_oom(data .. ':refs')
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
redis.call('HSET', data .. ':refs', CONSUMER .. session, lists)
note_lists(data, session, lists)
inherit_ttl(data, data .. ':refs')
return OK
