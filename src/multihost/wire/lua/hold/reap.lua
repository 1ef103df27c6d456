-- hold/reap: free what dead sessions hold of a lock or a semaphore, remove dead waiters. Idempotent.
--
-- O(sessions that are registered, and their places).
--
-- KEYS
--   data               hash    TYPE, INITIAL_VALUE, RESERVE, WAITER, TALLY, HOLDER, RELEASED
--   data:free          list    the elements that are free
--   data:refs          hash    CONSUMER, BURIED
--   data:held:<place>  list    what a session holds
--   sessions           prefix  of the session keys
--   sessions:<id>      hash    record of one, while it is alive
--   partition:lists    hash    the sessions that have places, or in-flight lists
-- ARGV
--   previous       bytes  state that the previous reap of this process found
--   check_waiters  int    1 = check for dead waiters, and sessions that hold nothing, too
-- RETURNS  number of waiters, state, then session and record of each holder and waiter that is alive; nil if
--          there is no such object
-- ERRORS   none
-- WAKES    as many waiters as there are free elements: they are moved to their places

-- @include lib/dead_holders
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, TYPE, INITIAL_VALUE, RESERVE)
if not state[1] then return false end
allow_oom(data)
local holders = dead_holders(data, sessions, state[2])
holders.reap(check_waiters == '1')
local reserve = tonumber(state[3]) or 0
if reserve > 0 and redis.call('EXISTS', data .. ':free') == 0 then
  redis.call('HDEL', data, RESERVE)
  set_free(data, reserve)
end
local waiters = 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  if string.sub(field, 1, 2) == WAITER then
    if check_waiters ~= '1' or holders.seen.info(string.sub(field, 3)) then
      waiters = waiters + 1
    else
      redis.call('HDEL', data, field)
    end
  end
end
return holders.seen.append_to({waiters, previous})
