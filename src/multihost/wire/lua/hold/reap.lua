-- hold/reap: free what dead sessions hold of a lock or a semaphore, remove dead waiters. Idempotent.
--
-- O(sessions that are registered, and their places), of many for a part of them.
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
--   looker         bytes  who looks; '' = look in any case, and at all
-- RETURNS  number of waiters, state, then session and record of holders and waiters that are alive; only the number of
--          waiters if another one looks just now; nil if there is no such object
-- ERRORS   none
-- WAKES    as many waiters as there are free elements: they are moved to their places

-- @include lib/dead_holders
-- @include lib/looker
-- @include lib/look_at_waiters
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

local state = redis.call('HMGET', data, TYPE, INITIAL_VALUE, RESERVE, LOOKER .. 'hold')
if not state[1] then return false end
local waiting = looked_after(state[4], looker)
if waiting then return waiting end
allow_oom(data)
local turn, cursor, waiters = string.match(previous, '^(%d+) (%d+) (%d+)$')
turn, waiters = (tonumber(turn) or 0) + 1, tonumber(waiters) or 0
local refs
refs, cursor = next_part(data .. ':refs', looker, cursor or '0')
local holders = dead_holders(data, sessions, state[2])
local seen = holders.seen
local busy, others = holders.reap(refs, check_waiters == '1')
seen.judge(busy, turn, JUDGED)
local reserve = tonumber(state[3]) or 0
if reserve > 0 and redis.call('EXISTS', data .. ':free') == 0 then
  redis.call('HDEL', data, RESERVE)
  set_free(data, reserve)
end
if check_waiters == '1' then
  seen.judge(others, turn, JUDGED_IDLE)
  waiters = look_at_waiters(data, {[WAITER] = true}, seen, turn)[WAITER]
end
note_look(data, LOOKER .. 'hold', looker, waiters)
return seen.append_to({waiters, turn .. ' ' .. cursor .. ' ' .. waiters})
