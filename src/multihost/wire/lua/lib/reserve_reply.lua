-- lib/reserve_reply: like lib/reply_cache, for an operation whose answer is nearly always '.'.
--
-- It says so beforehand, and may then refuse (lib/save_error) or answer differently (lib/overwrite_reply).

local function reserve_reply(record, request)
  local last = redis.call('SET', record, request, 'PX', '60000', 'GET')
  if not last or last < request then return nil end
  -- @include lib/decode_reply
  redis.call('SET', record, last, 'PX', '60000')
  return decode_reply(last, request)
end
