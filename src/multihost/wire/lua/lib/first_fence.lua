-- lib/first_fence: where fencing tokens start.
--
-- At the microsecond of the creation: also after a loss of all data the next ones are larger.

local function first_fencing_token()
  local now = redis.call('TIME')
  return string.format('%.0f', now[1] * 1000000 + now[2])
end
