-- condition/notify: wake waiters, the oldest first. O(generations), of which there is one as a rule.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    GENERATION, OLDEST, WAITERS, NOTIFICATIONS, REACH
--   data:tokens:<g>  list    wake-up tokens of waiters
-- ARGV
--   request  int  number of the request
--   count    int  how many
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    as many waiters

-- @include lib/reply_cache
-- @include lib/condition_fields
-- @include lib/condition_waiters
local reply_cache, data = KEYS[1], KEYS[2]
local request, count = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, GENERATION, OLDEST)
if not state[1] then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('condition'))
end
notify_waiters(data, tonumber(state[2] or 0), tonumber(state[1]), tonumber(count))
return save_reply(reply_cache, request, OK)
