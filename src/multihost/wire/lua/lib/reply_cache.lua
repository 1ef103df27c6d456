-- lib/reply_cache: a request that is sent again gets its first reply.
--
-- The reply cache of a connection holds the number of its last request, 12 digits, and the outcome (lib/outcomes). It
-- expires after a minute: no request is repeated for that long. An outcome without effect is stored, too: a first
-- attempt that arrives late must not have one.
--
-- An operation begins with cached_reply() and ends with save_reply(); one whose reply is nearly always OK reserves that
-- first, with a command less (lib/reserve_reply). To refuse, include lib/save_error.

-- @include lib/codes
-- @include lib/outcomes
-- @include lib/ttl
-- Return the reply in a list if the request was executed before, else nil.
local function cached_reply(reply_cache, request)
  if redis.call('GETRANGE', reply_cache, '0', '11') < request then return nil end
  -- @include lib/decode_reply
  return decode_reply(redis.call('GET', reply_cache), request)
end

-- After a write this cannot fail. Before one, a full server may refuse it: then the outcome is not stored.
local function save_reply(reply_cache, request, reply)
  redis.pcall('SET', reply_cache, request .. REPLY .. reply, 'PX', TTL)
  return reply
end
