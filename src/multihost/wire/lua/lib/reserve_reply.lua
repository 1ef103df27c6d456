-- lib/reserve_reply: like lib/reply_cache, for an operation whose reply is nearly always OK.
--
-- It stores that reply first, and may then refuse (lib/save_error) or reply differently (lib/overwrite_reply).

-- @include lib/codes
-- @include lib/ttl
-- Return the reply in a list if the request was executed before, else nil.
local function reserve_reply(reply_cache, request)
  local cached = redis.pcall('SET', reply_cache, request, 'PX', TTL, 'GET')
  -- @include lib/decode_reply
  if type(cached) == 'table' then
    -- A server that is full, or cannot save, refuses that; but the first attempt may have been executed.
    local refusal = cached
    return decode_reply(redis.call('GET', reply_cache) or '', request) or {refusal}
  end
  if not cached or cached < request then return nil end
  redis.call('SET', reply_cache, cached, 'PX', TTL)
  return decode_reply(cached, request)
end
