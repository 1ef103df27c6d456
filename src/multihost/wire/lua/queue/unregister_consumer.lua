-- queue/unregister_consumer: a session ends in order: what it had taken and not finished goes back. May be repeated.
--
-- KEYS
--   data                  hash  'o' -> order; 'r' -> how often an item is delivered; 'u' -> unfinished items; 'j', 'gw'
--   data:items            any   the items
--   data:refs             hash  'f:<session>' -> how many places it has
--   data:flight:<flight>  list  a place
--   data:dead             list  dead letters
--   data:tokens:get       list  hints for consumers of a priority queue
--   data:tokens:join      list  a token for those who join
-- ARGV
--   session  bytes  who ends
--   places   int    how many places it had; those of a deleted queue are empty, or have the mark of its end
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    consumers

-- @include lib/inherit_ttl
-- @include lib/end_marker
-- @include lib/reinsert_sorted
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake
local data = KEYS[1]
local session, places = ARGV[1], ARGV[2]

redis.call('HDEL', data .. ':refs', 'f:' .. session)
local state = redis.call('HMGET', data, 'o', 'r', 'u', 'j', 'gw', 'x')
local gave, dead = 0, 0
for n = tonumber(places), 1, -1 do
  local place = data .. ':flight:' .. session .. '.' .. n
  if state[1] then
    local back, died = requeue(data, place, state[1], state[2] ~= '0', tonumber(state[2]), state[6])
    gave, dead = gave + back, dead + died
  else
    redis.call('DEL', place)
  end
end
if dead > 0 then count_done(data, state[3], dead, state[4]) end
if state[5] and gave > 0 then wake(data .. ':tokens:get', math.min(gave, tonumber(state[5]))) end
return false
