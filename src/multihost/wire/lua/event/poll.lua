-- event/poll: whether an event is set, or was since. May be repeated.
--
-- KEYS
--   data  hash  's' -> '1' = set; 'n' -> how often it was set
-- ARGV
--   before  bytes  how often it had been set; '' = not known
-- RETURNS  '1' if it is or was set; else nil, or ',' and how often it was set if that was not known
-- ERRORS   GONE

local data = KEYS[1]
local before = ARGV[1]

local state = redis.call('HMGET', data, 's', 'n')
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('event'))
end
if state[1] == '1' or (before ~= '' and before ~= state[2]) then return '1' end
if before == '' then return ',' .. state[2] end
return false
