-- condition/look: forget dead waiters, and pass on what notified them. May be repeated.
--
-- KEYS
--   data             hash    'g' -> generation; 'c:<g>', 'n:<g>', 'z:<waiter>': who waits
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

-- @include lib/alive
-- @include lib/sleepers
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

local last = redis.call('HGET', data, 'g')
if not last then return false end
local waiting = sessions_seen(sessions)
local living = 0
for _, field in ipairs(redis.call('HKEYS', data)) do
  if string.sub(field, 1, 2) == 'z:' then
    if waiting.note(string.sub(field, 3)) then
      living = living + 1
    else
      local generation = redis.call('HGET', data, field)
      redis.call('HDEL', data, field)
      leave(data, generation, tonumber(last), true)
    end
  end
end
return waiting.append_to({living, before})
