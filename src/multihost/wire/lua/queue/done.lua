-- queue/done: an item is done.
--
-- KEYS
--   record                string  last request of the caller
--   data                  hash    'u' -> unfinished items; 'j' -> somebody joins; 'o' -> order
--   data:flight:<flight>  list    where it lies, if it would be delivered again
--   data:refs             hash    unnamed objects contained
--   data:tokens:join      list    a token for those who join
-- ARGV
--   request  int    number of the request
--   flight   bytes  place of who took it; '' = it lies nowhere
-- RETURNS  '.' or '!' (objects were let go); '?' if it is not there any more; nil if nothing is unfinished
-- ERRORS   GONE
-- WAKES    who joins, if nothing is unfinished any more

-- @include lib/reply_cache
-- @include lib/count_done
local record, data = KEYS[1], KEYS[2]
local request, flight = ARGV[1], ARGV[2]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'u', 'j', 'o')
if not state[1] then
  -- @include lib/save_error
  return save_error(record, request, object_gone('queue'))
end
local flag = '.'
if flight ~= '' then
  local item = redis.call('LPOP', data .. ':flight:' .. flight)
  if not item then return save_reply(record, request, '?') end
  if state[3] == 'p' then item = string.sub(item, string.find(item, ' ', 1, true) + 33) end
  if string.byte(item) == 42 then item = string.match(item, '^%*%d+;(.*)$') end
  if string.byte(item) == 64 or string.byte(item) == 35 then
    -- @include lib/refs
    flag = references(data).remove(item)
  end
elseif tonumber(state[1]) <= 0 then
  -- @include lib/save_error
  return save_nil(record, request)
end
if tonumber(state[1]) > 0 then count_done(data, state[1], 1, state[2]) end
return save_reply(record, request, flag)
