-- lib/reject_stale: like lib/reply_cache, for an operation that may be repeated: only what comes too late is refused.

-- The answer to a request that was followed by a later one of its caller, else nil.
local function stale_reply(record, request)
  local last = redis.call('SET', record, request, 'PX', '60000', 'GET')
  if not last or string.sub(last, 1, 12) <= request then return nil end
  redis.call('SET', record, last, 'PX', '60000')
  return {redis.error_reply('STALE a later request was executed')}
end
