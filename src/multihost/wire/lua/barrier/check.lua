-- barrier/check: check that a barrier exists. Idempotent.
--
-- A BRPOPLPUSH of data:tokens:<g> and barrier/claim follow.
--
-- KEYS
--   data  hash  PARTIES
-- ARGV
-- RETURNS  OK
-- ERRORS   GONE

-- @include lib/codes
-- @include lib/barrier_fields
local data = KEYS[1]

if redis.call('HEXISTS', data, PARTIES) == 0 then
  -- @include lib/save_error
  return redis.error_reply(object_gone('barrier'))
end
return OK
