-- queue/drain_dead_letters: dead letters go back into the queue, or are thrown away. O(letters).
--
-- KEYS
--   record            string  last request of the caller
--   data              hash    'u' -> unfinished items; 'x' -> it was shut down; 'o' -> order; 'j' -> somebody joins
--   data:items        any     the items
--   data:dead         list    dead letters
--   data:refs         hash    unnamed objects contained
--   data:tokens:get   list    hints for who waits for an item of a priority queue
--   data:tokens:join  list    a token for those who join
-- ARGV
--   request  int  number of the request
--   again    int  1 = they go back into the queue
-- RETURNS  '.' or '!' (objects were let go) and how many there were
-- ERRORS   GONE SHUTDOWN
-- WAKES    one consumer for each

-- @include lib/reply_cache
-- @include lib/inherit_ttl
-- @include lib/reinsert_sorted
-- @include lib/refs
local record, data = KEYS[1], KEYS[2]
local request, again = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'u', 'x', 'o', 'j', 'gw')
-- @include lib/save_error
if not state[1] then return save_error(record, request, object_gone('queue')) end
if again == '1' and state[2] then return save_error(record, request, 'SHUTDOWN the queue was shut down') end
local dead, items, links = data .. ':dead', data .. ':items', references(data)
local letters = redis.call('LRANGE', dead, 0, -1)
redis.call('UNLINK', dead)
if #letters == 0 then return save_reply(record, request, '.0') end
if again == '1' and state[3] == 'p' then
  for _, letter in ipairs(letters) do
    local stop = string.find(letter, ' ', 1, true) + 32
    reinsert_sorted(data, string.sub(letter, 1, stop), string.sub(letter, stop + 1))
  end
elseif again == '1' then
  for i = 1, #letters, 1000 do
    local stop = math.min(i + 999, #letters)
    redis.call(state[3] == 'l' and 'LPUSH' or 'RPUSH', items, unpack(letters, i, stop))
  end
else
  for _, letter in ipairs(letters) do
    if state[3] == 'p' then letter = string.sub(letter, string.find(letter, ' ', 1, true) + 33) end
    links.remove(letter)
  end
end
if again == '1' then
  inherit_ttl(data, items)
  redis.call('HINCRBY', data, 'u', #letters)
  if state[1] == '0' and state[4] then redis.call('DEL', data .. ':tokens:join') end
  if state[5] then
    -- @include lib/wake
    wake(data .. ':tokens:get', math.min(#letters, tonumber(state[5])))
  end
end
return save_reply(record, request, links.flag .. #letters)
