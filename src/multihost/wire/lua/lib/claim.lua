-- lib/claim: like lib/once, for an operation whose answer is nearly always '.'.
--
-- It says so beforehand, and may then refuse (lib/refuse) or answer differently (lib/answer).

local function claimed(record, request)
  local last = redis.call('SET', record, request, 'PX', '60000', 'GET')
  if not last or last < request then return nil end
  -- @include lib/recall
  redis.call('SET', record, last, 'PX', '60000')
  return recalled(last, request)
end
