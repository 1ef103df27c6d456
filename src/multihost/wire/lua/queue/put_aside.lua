-- queue/put_aside: make dead letters of items in the in-flight list of a client that cannot use them. O(list).
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   data                       hash    ORDER, UNFINISHED, SHUT_DOWN, JOINED, KIND
--   data:items                 any     the items
--   data:inflight:<in_flight>  list    items that the client has in flight
--   data:dead                  list    dead letters
--   data:tokens:join           list    one token for processes in join(), while nothing is unfinished
-- ARGV
--   request    int    number of the request
--   in_flight  bytes  name of the in-flight list: <session>.<n>
--   values...  bytes  of the items, without rank and number of deliveries
-- RETURNS  OK and how many of them were in the list
-- ERRORS   none
-- WAKES    processes in join(), if nothing is unfinished any more

-- @include lib/reply_cache
-- @include lib/queue_fields
-- @include lib/rank
-- @include lib/requeue
-- @include lib/count_done
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, in_flight = ARGV[1], ARGV[2]

allow_oom(data)
local done = cached_reply(reply_cache, request)
if done then return done[1] end
local in_flight_key = data .. ':inflight:' .. in_flight
local state = redis.call('HMGET', data, ORDER, UNFINISHED, SHUT_DOWN, JOINED)
local order = state[1]
if not order then return save_reply(reply_cache, request, OK .. '0') end -- it was deleted, with what it had
local wanted, taken, kept = {}, {}, {}
for i = 3, #ARGV do wanted[ARGV[i]] = (wanted[ARGV[i]] or 0) + 1 end
for _, item in ipairs(redis.call('LRANGE', in_flight_key, 0, -1)) do
  local value = value_of(item, order == PRIORITY)
  if item ~= '' and (wanted[value] or 0) > 0 then
    wanted[value] = wanted[value] - 1
    taken[#taken + 1] = item
  else
    kept[#kept + 1] = item
  end
end
if #taken == 0 then return save_reply(reply_cache, request, OK .. '0') end
-- The list holds the taken ones alone while they become dead letters, then the others again.
local ttl = redis.call('PTTL', in_flight_key)
redis.call('DEL', in_flight_key)
for i = 1, #taken, 1000 do redis.call('RPUSH', in_flight_key, unpack(taken, i, math.min(i + 999, #taken))) end
local _, letters = requeue(data, in_flight_key, order, true, 1, state[3])
for i = 1, #kept, 1000 do redis.call('RPUSH', in_flight_key, unpack(kept, i, math.min(i + 999, #kept))) end
if #kept > 0 and ttl >= 0 then redis.call('PEXPIRE', in_flight_key, math.max(ttl, 1)) end
local unfinished = tonumber(state[2])
if letters > 0 and unfinished > 0 then count_done(data, unfinished, math.min(letters, unfinished), state[4]) end
return save_reply(reply_cache, request, OK .. #taken)
