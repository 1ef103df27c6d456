-- latch/count_down: count down, and open the latch at zero. O(waiters).
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    'n' -> how often it is still to be counted down; 'q:<waiter>': waiters
--   data:tokens  list    wake-up tokens
-- ARGV
--   request  int  number of the request
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    all waiters, if it opens

-- @include lib/reply_cache
-- @include lib/wake
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('latch'))
end
if redis.call('HINCRBY', data, 'n', '-1') == 0 then
  local waiters = 0
  for _, field in ipairs(redis.call('HKEYS', data)) do
    if string.sub(field, 1, 2) == 'q:' then waiters = waiters + 1 end
  end
  wake(data .. ':tokens', waiters)
end
return save_reply(reply_cache, request, OK)
