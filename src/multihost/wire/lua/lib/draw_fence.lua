-- lib/draw_fence: the next fencing token of an object.
--
-- It is the microsecond of now, or one more than the last: where a server takes over that has not received the last
-- ones it is larger than all of them, if its clock is not behind by more than that took.

-- @include lib/hold_fields
-- Return it, and the one before it; 0 and 0 if there is no such object.
local function draw_fence(data)
  local last, now = redis.call('HGET', data, FENCE), redis.call('TIME')
  if not last then return {0, 0} end
  if not tonumber(last) then return redis.call('HINCRBY', data, FENCE, '1') end -- raises: another program altered it
  local token = math.max(last + 1, now[1] * 1000000 + now[2])
  redis.call('HSET', data, FENCE, string.format('%.0f', token))
  return {token, tonumber(last)}
end
