-- lib/first_fence: the first fencing token of an object.
--
-- It is the microsecond of the creation: even after a loss of all data the next tokens are larger.

local function first_fencing_token()
  local now = redis.call('TIME')
  return string.format('%.0f', now[1] * 1000000 + now[2])
end
