-- queue/settle: settle a queue with a consumer, after the server may have gone back. Idempotent.
--
-- What is in a list that the consumer has finished with was acknowledged there, and is once more. How often it called
-- task_done() tells which of those calls were undone. They count again for items that it has, and not for those that
-- are in the queue again.
--
-- KEYS
--   data                       hash  ORDER, CREATED, DELIVERIES, UNFINISHED, JOINED, GETTERS, SHUT_DOWN, KIND, DONE
--   data:items                 any   the items
--   data:refs                  hash  CONSUMER
--   data:inflight:<in_flight>  list  items that a consumer has in flight
--   data:dead                  list  dead letters
--   data:tokens:get            list  wake-up tokens of getters of a priority queue
--   data:tokens:join           list  one token for processes in join(), while nothing is unfinished
--   data:contains              hash  how often it contains unnamed objects
--   partition:epoch            hash  the epochs of the partition
--   partition:cut              zset  when a container without a lease let go of an object
--   partition:tops             set   named objects that contain unnamed ones
--   partition:kept             zset  objects without a lease
--   partition:lists            hash  the sessions that have places, or in-flight lists
-- ARGV
--   session  bytes  name of the session
--   known    int    how many in-flight lists the queue was told of
--   lists    int    how many it has used
--   created  int    CREATED of the queue in which it called task_done()
--   done     int    how often, for items that are not delivered again
--   got      bytes  for the last of these calls, how many items it had received before: numbers and commas
--   kept...  int    number of an in-flight list, how many are not done, the last ones; -1 = all. Others are put back
-- RETURNS  OK or CUT, and how many items are lost; nil if there is no queue
-- ERRORS   none
-- WAKES    consumers; processes in join(), if nothing is unfinished any more

-- @include lib/codes
-- @include lib/queue_fields
-- @include lib/refs_fields
-- @include lib/requeue
-- @include lib/finish_items
-- @include lib/undone_calls
-- @include lib/count_done
-- @include lib/size
-- @include lib/wake
-- @include lib/note_lists
-- @include lib/allow_oom
local data = KEYS[1]
local session, known, lists, created, done, got = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local state =
  redis.call('HMGET', data, ORDER, DELIVERIES, UNFINISHED, JOINED, GETTERS, SHUT_DOWN, DONE .. session, CREATED)
local order, limit, unfinished = state[1], tonumber(state[2]) or 0, tonumber(state[3]) or 0
if not order then return false end
allow_oom(data)
if tonumber(known) > (tonumber(redis.call('HGET', data .. ':refs', CONSUMER .. session)) or 0) then
  redis.call('HSET', data .. ':refs', CONSUMER .. session, known)
  note_lists(data, session, known)
  inherit_ttl(data, data .. ':refs')
end
local kept = {}
for i = 7, #ARGV, 2 do kept[ARGV[i]] = tonumber(ARGV[i + 1]) end
local code, lost, again, requeued = OK, 0, 0, 0
for n = tonumber(lists), 1, -1 do
  local list, keep = data .. ':inflight:' .. session .. '.' .. n, kept[string.format('%d', n)]
  if not keep then
    requeued = requeued + requeue(data, list, order, false, limit, state[6])
  elseif keep >= 0 then
    local length = redis.call('LLEN', list)
    lost = lost + math.max(keep - length, 0)
    local finished, answer = finish_items(data, list, length - keep, order, state[6])
    again = again + finished
    if answer == CUT then code = CUT end
  end
end
if limit == 0 and created == (state[8] or '') then
  local waiting = unfinished - size_of(data, order, state[6])
  local had = tonumber(state[7]) or 0
  again = undone_calls(data, tonumber(done), had, got, waiting)
  if tonumber(done) > had then redis.call('HSET', data, DONE .. session, done) end
end
if again > 0 then count_done(data, unfinished, math.min(again, unfinished), state[4]) end
if state[5] and requeued > 0 then wake(data .. ':tokens:get', math.min(requeued, tonumber(state[5]))) end
return {code, lost}
