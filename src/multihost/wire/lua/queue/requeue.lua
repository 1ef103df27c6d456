-- queue/requeue: what lies at a place of this session goes back. May be repeated.
--
-- KEYS
--   data                  hash  'o' -> order; 'r' -> how often an item is delivered; 'u' -> unfinished items; 'j'
--   data:items            any   the items
--   data:flight:<flight>  list  where they lie
--   data:dead             list  dead letters
--   data:tokens:get       list  hints for consumers of a priority queue
--   data:tokens:join      list  a token for those who join
-- ARGV
--   flight   bytes  place
--   counted  int    1 = they were delivered, 0 = nobody heard of them
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
local flight, counted = ARGV[1], ARGV[2]

local place = data .. ':flight:' .. flight
local state = redis.call('HMGET', data, 'o', 'r', 'u', 'j', 'gw', 'x')
if not state[1] then
  local has_mark = redis.call('LINDEX', place, -1) == ''
  redis.call('UNLINK', place)
  if has_mark then -- others wait for it
    put_end_marker(data .. ':items', 'f')
    redis.call('PEXPIRE', data .. ':items', '1000')
  end
  return false
end
local gave, dead = requeue(data, place, state[1], counted == '1', tonumber(state[2]), state[6])
if dead > 0 then count_done(data, state[3], dead, state[4]) end
if state[5] and gave > 0 then wake(data .. ':tokens:get', math.min(gave, tonumber(state[5]))) end
return false
