-- event/poll: return whether an event is set, or was since. Idempotent.
--
-- A number that is larger than that of the event is of what the server has forgotten.
--
-- KEYS
--   data  hash  STATE, TIMES_SET
-- ARGV
--   known_times  bytes  its number when the wait began; '' = not known
-- RETURNS  SET; else nil, or UNSET and its number if that was not known, or is forgotten
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
if state[1] == '1' then return SET end
local known, times = tonumber(known_times), tonumber(state[2]) or 0
if not known or known > times then return UNSET .. state[2] end
if known < times then return SET end
return false
