-- queue/reap: give back what dead sessions had taken, wake who waits in vain, forget dead waiters. May be repeated.
--
-- KEYS
--   data                  hash    'o' -> order; 'n' -> most items; 'r' -> how often an item is delivered; 'u' ->
--                                 unfinished items; 'x' -> shut down; 'j' -> somebody joins; 'w', 'q:<waiter>': who
--                                 waits for room; 'gw', 'g:<waiter>': for an item of a priority queue
--   data:items            any     the items
--   data:refs             hash    'f:<session>' -> how many places it has
--   data:flight:<flight>  list    a place
--   data:dead             list    dead letters
--   data:tokens           list    hints for who waits for room
--   data:tokens:get       list    hints for who waits for an item
--   data:tokens:join      list    a token for those who join
--   sessions              prefix  of the sessions
--   sessions:<id>         string  one of them
-- ARGV
--   before  bytes  what the last look of this process found
--   prune   int    1 = look for dead waiters, too
-- RETURNS  the number of sessions that take or wait, what was found, then each of them that lives, and what it says of
--          itself; nil if there is no queue
-- ERRORS   none
-- WAKES    as many as there are items, and as there is room for

-- @include lib/live_sessions
-- @include lib/inherit_ttl
-- @include lib/size
-- @include lib/end_marker
-- @include lib/reinsert_sorted
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake_for_permits
-- @include lib/wake
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

local state = redis.call('HMGET', data, 'o', 'n', 'r', 'u', 'x', 'j', 'w', 'gw')
local order = state[1]
if not order then return false end
local seen, consumers, dead = live_sessions(sessions), 0, 0
local refs = redis.call('HGETALL', data .. ':refs')
redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
for i = 1, #refs, 2 do
  if string.sub(refs[i], 1, 2) == 'f:' then
    local session = string.sub(refs[i], 3)
    if seen.note(session) then
      consumers = consumers + 1
    else
      for n = tonumber(refs[i + 1]), 1, -1 do -- the last one taken goes back first
        local place = data .. ':flight:' .. session .. '.' .. n
        local _, died = requeue(data, place, order, state[3] ~= '0', tonumber(state[3]), state[5])
        dead = dead + died
      end
      redis.call('HDEL', data .. ':refs', refs[i])
    end
  end
end
if dead > 0 then count_done(data, state[4], dead, state[6]) end
local waiters, takers = tonumber(state[7] or 0), tonumber(state[8] or 0)
if prune == '1' and (state[7] or state[8]) then
  waiters, takers = 0, 0
  for _, field in ipairs(redis.call('HKEYS', data)) do
    local kind = string.sub(field, 1, 2)
    if kind == 'q:' or kind == 'g:' then
      if not seen.note(string.sub(field, 3)) then
        redis.call('HDEL', data, field)
      elseif kind == 'q:' then
        waiters = waiters + 1
      else
        takers = takers + 1
      end
    end
  end
  redis.call('HSET', data, 'w', waiters, 'gw', takers)
end
local size = size_of(data, order, state[5])
if waiters > 0 and not state[5] then wake_for_permits(data, state[2] - size, waiters) end
if takers > 0 then
  wake(data .. ':tokens:get', math.min(size, takers) - redis.call('LLEN', data .. ':tokens:get'))
end
return seen.append_to({consumers + waiters + takers, before})
