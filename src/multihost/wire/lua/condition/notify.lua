-- condition/notify: wake some of those who wait, the oldest first. O(generations), of which there is one as a rule.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'g' -> generation, 'o' -> oldest one; 'c:<g>' -> how many wait; 'n:<g>' -> notifications
--   data:tokens:<g>  list    hints for who waits
-- ARGV
--   request  int  number of the request
--   count    int  how many
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    as many

-- @include lib/reply_cache
-- @include lib/condition_waiters
local record, data = KEYS[1], KEYS[2]
local request, count = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'o')
if not state[1] then
  -- @include lib/save_error
  return save_error(record, request, object_gone('condition'))
end
notify_waiters(data, tonumber(state[2] or 0), tonumber(state[1]), tonumber(count))
return save_reply(record, request, '.')
