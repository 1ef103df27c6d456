-- latch/claim: pass the latch, if it is open. Sent behind a BLPOP of data:tokens.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data    hash    'n' -> how often it is still to be counted down; 'q:<waiter>': waiters
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  '1'; nil if it is closed
-- ERRORS   GONE

-- @include lib/reply_cache
local reply_cache, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local count = redis.call('HGET', data, 'n')
if not count then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('latch'))
end
if tonumber(count) > 0 then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
redis.call('HDEL', data, 'q:' .. waiter)
return save_reply(reply_cache, request, '1')
