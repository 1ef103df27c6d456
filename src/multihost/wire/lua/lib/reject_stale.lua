-- lib/reject_stale: like lib/reply_cache, for an idempotent operation: a request is refused only if it arrives late.

-- @include lib/codes
-- @include lib/errors
-- @include lib/ttl
-- Return an error in a list if the connection has sent a later request, else nil.
local function stale_reply(reply_cache, request)
  local cached = redis.call('SET', reply_cache, request, 'PX', TTL, 'GET')
  if not cached or string.sub(cached, 1, 12) <= request then return nil end
  redis.call('SET', reply_cache, cached, 'PX', TTL)
  return {redis.error_reply(STALE)}
end
