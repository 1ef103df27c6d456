-- lib/reply_cache: a request that is sent again gets its first answer.
--
-- A record holds the number of its caller's last request, 12 digits, and what came of it: '+' and the answer, '-' for
-- none, '!' and an error, nothing for the answer '.'. It lives for a minute: longer than anyone repeats a request. An
-- outcome without effect is recorded too: a first attempt that arrives late must not have one.
--
-- An operation asks cached_reply() and writes its save_reply() at the end; one whose answer is nearly always '.' says so
-- beforehand, with a command less (lib/reserve_reply). Who refuses includes lib/save_error.

local function cached_reply(record, request)
  if redis.call('GETRANGE', record, '0', '11') < request then return nil end
  -- @include lib/decode_reply
  return decode_reply(redis.call('GET', record), request)
end

-- After a write this cannot fail; before, a full server may refuse it, and then the outcome is not recorded.
local function save_reply(record, request, reply)
  redis.pcall('SET', record, request .. '+' .. reply, 'PX', '60000')
  return reply
end
