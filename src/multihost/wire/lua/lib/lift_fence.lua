-- lib/lift_fence: the last fencing token of an object at a server that may have gone back.
--
-- It is at least that which was handed out last, and the microsecond of now: the next one is larger than all before.

-- @include lib/first_fence
local function lift_fence(data, field, fence, last)
  local lifted = first_fencing_token()
  for _, other in ipairs({fence or '0', last}) do
    if (tonumber(other) or 0) > tonumber(lifted) then lifted = other end
  end
  redis.call('HSET', data, field, lifted)
end
