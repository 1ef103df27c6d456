-- lock/reap: free a lock of a dead holder, wake waiters whose tokens were lost, remove dead waiters. Idempotent.
--
-- KEYS
--   data           hash    HOLDER, FENCE, WAITERS, WAITER
--   data:tokens    list    wake-up tokens of waiters
--   sessions       prefix  of the session keys
--   sessions:<id>  hash    record of one, while it is alive
-- ARGV
--   previous       bytes  state that the previous reap of this process found
--   check_waiters  int    1 = check for dead waiters, too
-- RETURNS  number of waiters, state, then session and record of each holder and waiter that is alive; nil if
--          there is no lock
-- ERRORS   none
-- WAKES    one waiter

-- @include lib/lock_fields
-- @include lib/live_sessions
-- @include lib/hand_off
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, HOLDER, FENCE, WAITERS)
local holder, fence, waiters = state[1], state[2], state[3] or '0'
if not fence then return false end
local seen = live_sessions(sessions)
if check_waiters == '1' then
  local living = 0
  for _, field in ipairs(redis.call('HKEYS', data)) do
    if string.sub(field, 1, 2) == WAITER then
      if seen.info(string.sub(field, 3)) then
        living = living + 1
      else
        redis.call('HDEL', data, field)
      end
    end
  end
  waiters = living .. ''
  redis.call('HDEL', data, WAITERS) -- first, see lib/allow_oom
  redis.call('HSET', data, WAITERS, waiters)
end
local state_now = '=' .. (holder or '-')
if not holder then
  if waiters ~= '0' then hand_off(data, waiters) end
elseif holder == '' and waiters == '0' then
  redis.call('HDEL', data, HOLDER)
  redis.call('DEL', data .. ':tokens')
elseif holder == '' then
  -- Handed off since the previous reap: the waiter that took the token is dead, or did not claim the lock.
  if state_now == previous and redis.call('EXISTS', data .. ':tokens') == 0 then hand_off(data, waiters) end
elseif not seen.info(holder) then
  hand_off(data, waiters)
end
return seen.append_to({tonumber(waiters), state_now})
