-- queue/requeue_orphaned: what lies at a place of a dead session goes back, also if the queue does not know that place any more.
-- May be repeated.
--
-- KEYS
--   data                  hash    'o' -> order; 'r' -> how often an item is delivered; 'u' -> unfinished items; 'j';
--                                 'gw' -> who waits for an item
--   data:items            any     the items
--   data:flight:<flight>  list    where they lie
--   data:dead             list    dead letters
--   data:tokens:get       list    hints for consumers of a priority queue
--   data:tokens:join      list    a token for those who join
--   sessions              prefix  of the sessions
--   sessions:<id>         string  one of them
-- ARGV
--   flight  bytes  place
-- RETURNS  how many items went back or became dead letters; nil if the session lives, or there is no queue
-- ERRORS   none
-- WAKES    consumers

-- @include lib/inherit_ttl
-- @include lib/end_marker
-- @include lib/reinsert_sorted
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/wake
local data, sessions = KEYS[1], KEYS[2]
local flight = ARGV[1]

if redis.call('EXISTS', sessions .. ':' .. string.match(flight, '^[^.]*')) == 1 then return false end
local state = redis.call('HMGET', data, 'o', 'r', 'u', 'j', 'gw', 'x')
if not state[1] then return false end
local place = data .. ':flight:' .. flight
local gave, dead = requeue(data, place, state[1], state[2] ~= '0', tonumber(state[2]), state[6])
if dead > 0 then count_done(data, state[3], dead, state[4]) end
if state[5] and gave > 0 then wake(data .. ':tokens:get', math.min(gave, tonumber(state[5]))) end
return gave + dead
