-- lock/reap: free a lock from a dead holder, wake who waits in vain, forget dead waiters. May be repeated.
--
-- KEYS
--   data           hash    'h' -> holder, '' while it is passed on; 'f' -> last token; 'w', 'q:<waiter>': waiters
--   data:tokens    list    hints for who waits
--   sessions       prefix  of the sessions
--   sessions:<id>  string  one of them
-- ARGV
--   before  bytes  what the last look of this process found
--   prune   int    1 = look for dead waiters, too
-- RETURNS  the number of waiters, what was found, then the session of each who lives, of the holder and of waiters
--          that were looked for, and what it says of itself; nil if there is no lock
-- ERRORS   none
-- WAKES    one waiter

-- @include lib/live_sessions
-- @include lib/hand_off
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, 'h', 'f', 'w')
local holder, fence, waiters = state[1], state[2], state[3] or '0'
if not fence then return false end
local seen = live_sessions(sessions)
if prune == '1' then
  local living = 0
  for _, field in ipairs(redis.call('HKEYS', data)) do
    if string.sub(field, 1, 2) == 'q:' then
      if seen.note(string.sub(field, 3)) then
        living = living + 1
      else
        redis.call('HDEL', data, field)
      end
    end
  end
  waiters = living .. ''
  redis.call('HDEL', data, 'w') -- a full server accepts what follows a deletion
  redis.call('HSET', data, 'w', waiters)
end
local found = '=' .. (holder or '-')
if not holder then
  if waiters ~= '0' then hand_off(data, waiters) end
elseif holder == '' and waiters == '0' then
  redis.call('HDEL', data, 'h')
  redis.call('DEL', data .. ':tokens')
elseif holder == '' then
  -- On its way since the last look: whoever took the token is dead, or did not come to claim the lock.
  if found == before and redis.call('EXISTS', data .. ':tokens') == 0 then hand_off(data, waiters) end
elseif not seen.note(holder) then
  hand_off(data, waiters)
end
return seen.append_to({tonumber(waiters), found})
