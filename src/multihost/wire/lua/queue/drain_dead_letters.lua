-- queue/drain_dead_letters: requeue dead letters, or remove them. O(letters).
--
-- KEYS
--   reply_cache       string  last request of the connection and its reply
--   data              hash    ORDER, UNFINISHED, SHUT_DOWN, JOINED, GETTERS, KIND
--   data:items        any     the items
--   data:dead         list    dead letters
--   data:contains     hash    how often it contains unnamed objects
--   data:tokens:get   list    wake-up tokens of getters of a priority queue
--   data:tokens:join  list    one token for processes in join(), while nothing is unfinished
--   partition:epoch   hash    the epochs of the partition
--   partition:cut     zset    when a container without a lease let go of an object
--   partition:tops    set     named objects that contain unnamed ones
--   partition:kept    zset    objects without a lease
-- ARGV
--   request  int  number of the request
--   requeue  int  1 = they go back into the queue
-- RETURNS  OK or CUT, and how many there were
-- ERRORS   GONE SHUTDOWN
-- WAKES    one consumer for each

-- @include lib/reply_cache
-- @include lib/save_error
-- @include lib/queue_fields
-- @include lib/inherit_ttl
-- @include lib/reinsert_sorted
-- @include lib/rank
-- @include lib/refs
-- @include lib/errors
local reply_cache, data = KEYS[1], KEYS[2]
local request, requeue = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, UNFINISHED, SHUT_DOWN, ORDER, JOINED, GETTERS)
if not state[1] then return save_error(reply_cache, request, object_gone('queue')) end
if requeue == '1' and state[2] then return save_error(reply_cache, request, QUEUE_SHUT_DOWN) end
local dead, items, links = data .. ':dead', data .. ':items', references(data)
local letters = redis.call('LRANGE', dead, 0, -1)
redis.call('UNLINK', dead)
if #letters == 0 then return save_reply(reply_cache, request, OK .. '0') end
if requeue == '1' and state[3] == PRIORITY then
  for _, letter in ipairs(letters) do
    reinsert_sorted(data, split_rank(letter))
  end
elseif requeue == '1' then
  for i = 1, #letters, 1000 do
    local stop = math.min(i + 999, #letters)
    redis.call(state[3] == LIFO and 'LPUSH' or 'RPUSH', items, unpack(letters, i, stop))
  end
else
  for _, letter in ipairs(letters) do
    links.remove(value_of(letter, state[3] == PRIORITY))
  end
end
if requeue == '1' then
  inherit_ttl(data, items)
  redis.call('HINCRBY', data, UNFINISHED, #letters)
  if state[1] == '0' and state[4] then redis.call('DEL', data .. ':tokens:join') end
  if state[5] then
    -- @include lib/wake
    wake(data .. ':tokens:get', math.min(#letters, tonumber(state[5])))
  end
end
return save_reply(reply_cache, request, links.code .. #letters)
