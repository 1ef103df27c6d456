-- event/set: set an event.
--
-- KEYS
--   reply_cache              string  last request of the connection and its reply
--   data                     hash    STATE, TIMES_SET, BEFORE
--   data:tokens:<times_set>  list    one token, which goes round among the waiters since then
-- ARGV
--   request  int  number of the request
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    all waiters

-- @include lib/reply_cache
-- @include lib/event_fields
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, STATE, TIMES_SET, BEFORE)
local set, times = state[1], state[2]
if not set then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('event'))
end
if set == '0' then
  -- @include lib/first_fence
  redis.call('DEL', data .. ':tokens:' .. (state[3] or '')) -- first, see lib/allow_oom
  -- The microsecond: a server that has gone back uses no number again.
  local number = math.max(times + 1, tonumber(first_fencing_token()))
  redis.call('HSET', data, STATE, '1', TIMES_SET, string.format('%.0f', number), BEFORE, times)
  -- @include lib/wake
  wake(data .. ':tokens:' .. times, 1)
end
return save_reply(reply_cache, request, OK)
