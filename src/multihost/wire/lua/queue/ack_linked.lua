-- queue/ack_linked: remove items with proxies from an in-flight list, and their references from the queue.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   data                       hash    ORDER
--   data:inflight:<in_flight>  list    the items
--   data:contains              hash    how often it contains unnamed objects
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
-- ARGV
--   request    int    number of the request
--   in_flight  bytes  name of the in-flight list: <session>.<n>
--   left       int    how many are still to be acknowledged, the last ones of the list
-- RETURNS  OK or CUT
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/queue_fields
-- @include lib/rank
-- @include lib/refs
local reply_cache, data = KEYS[1], KEYS[2]
local request, in_flight, left = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local in_flight_key = data .. ':inflight:' .. in_flight
local links, by_priority = references(data), redis.call('HGET', data, ORDER) == PRIORITY
while redis.call('LLEN', in_flight_key) > tonumber(left) do
  local item = redis.call('LPOP', in_flight_key)
  links.remove(value_of(item, by_priority))
end
return save_reply(reply_cache, request, links.code)
