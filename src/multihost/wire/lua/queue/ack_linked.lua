-- queue/ack_linked: items with proxies have arrived: the queue lets them go.
--
-- KEYS
--   record                string  last request of the caller
--   data                  hash    'o' -> order
--   data:flight:<flight>  list    where they lay
--   data:refs             hash    unnamed objects contained
-- ARGV
--   request  int    number of the request
--   flight   bytes  place of who took them
--   left     int    how many are still to arrive, the last that lie there
-- RETURNS  '.' or '!' (objects were let go)
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/refs
local record, data = KEYS[1], KEYS[2]
local request, flight, left = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local place = data .. ':flight:' .. flight
local links, by_priority = references(data), redis.call('HGET', data, 'o') == 'p'
while redis.call('LLEN', place) > tonumber(left) do
  local item = redis.call('LPOP', place)
  if by_priority then item = string.sub(item, string.find(item, ' ', 1, true) + 33) end
  links.remove(string.match(item, '^%*%d+;(.*)$') or item)
end
return save_reply(record, request, links.flag)
