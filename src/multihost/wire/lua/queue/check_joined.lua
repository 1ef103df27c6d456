-- queue/check_joined: check that nothing is unfinished. Idempotent.
--
-- KEYS
--   data  hash  UNFINISHED
-- ARGV
-- RETURNS  OK; nil if something is unfinished
-- ERRORS   GONE

-- @include lib/codes
-- @include lib/queue_fields
local data = KEYS[1]

local unfinished = redis.call('HGET', data, UNFINISHED)
if not unfinished then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
return unfinished == '0' and OK or false
