-- lock/settle: settle a lock with a session, after the server may have gone back. Idempotent.
--
-- KEYS
--   data         hash  HOLDER, FENCE, WAITERS
--   data:tokens  list  wake-up tokens of waiters
-- ARGV
--   sid    bytes  of the session, without the number of its name
--   last   int    the last fencing token that was handed out to it
--   id...  bytes  the holds that it believes in
-- RETURNS  those of them that are lost; nil if there is no lock
-- ERRORS   none
-- WAKES    one waiter

-- @include lib/lock_fields
-- @include lib/hand_off
-- @include lib/lift_fence
local data = KEYS[1]
local sid, last = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, HOLDER, FENCE, WAITERS)
local holder, fence = state[1], state[2]
if not fence then return false end
local lost, is_known = {}, false
for i = 3, #ARGV do
  if ARGV[i] == holder then is_known = true else lost[#lost + 1] = ARGV[i] end
end
if holder and not is_known and string.match(holder, '^[^~]*') == sid then
  hand_off(data, state[3])
else
  redis.call('HDEL', data, '-') -- first, see lib/allow_oom
end
lift_fence(data, FENCE, fence, last)
return lost
