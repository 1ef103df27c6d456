-- event/poll: return whether an event is set, or was since. Idempotent.
--
-- KEYS
--   data  hash  STATE, TIMES_SET
-- ARGV
--   known_times  bytes  how often it had been set; '' = not known
-- RETURNS  SET; else nil, or UNSET and how often it was set if that was not known
-- ERRORS   GONE

-- @include lib/codes
-- @include lib/event_fields
local data = KEYS[1]
local known_times = ARGV[1]

local state = redis.call('HMGET', data, STATE, TIMES_SET)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('event'))
end
if state[1] == '1' or (known_times ~= '' and known_times ~= state[2]) then return SET end
if known_times == '' then return UNSET .. state[2] end
return false
