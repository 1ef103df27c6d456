-- condition/reap: forget dead waiters, pass on what notified them, and wake who waits in vain. May be repeated.
--
-- KEYS
--   data             hash    'g' -> generation; 'c:<g>', 'n:<g>', 'z:<waiter>', 'y:<waiter>': who waits
--   data:tokens:<g>  list    hints for who waits
--   sessions         prefix  of the sessions
--   sessions:<id>    string  one of them
-- ARGV
--   before  bytes  what the last look of this process found
--   prune   int    1 = thoroughly
-- RETURNS  the number of waiters, what was found, then each living waiter's session and what it says of itself; nil if
--          there is no condition
-- ERRORS   none
-- WAKES    who a dead waiter was notified before

-- @include lib/live_sessions
-- @include lib/condition_waiters
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, 'g', 'o')
if not state[1] then return false end
local last, oldest = tonumber(state[1]), tonumber(state[2] or 0)
local waiting = live_sessions(sessions)
local living = 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  local kind = string.sub(field, 1, 2)
  if kind == 'z:' or kind == 'y:' then
    if waiting.note(string.sub(field, 3)) then
      living = living + 1
    else
      local generation = redis.call('HGET', data, field)
      redis.call('HDEL', data, field)
      if kind == 'z:' then
        remove_waiter(data, generation, last, true)
      else
        notify_waiters(data, oldest, last, 1)
      end
    end
  end
end
for generation = oldest, last do
  local notified = count_of(data, 'n', generation)
  local missing = notified - redis.call('LLEN', data .. ':tokens:' .. generation)
  if missing > 0 then
    -- Who took the token is dead, or has not come yet to say so: then one too many does no harm.
    redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
    wake(data .. ':tokens:' .. generation, missing)
  end
end
return waiting.append_to({living, before})
