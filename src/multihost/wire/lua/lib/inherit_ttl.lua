-- lib/inherit_ttl: what belongs to an unnamed object lives as long as that. A key that was empty has just come back.

local function inherit_ttl(data, key)
  local left = redis.call('PTTL', data)
  if left >= 0 then redis.call('PEXPIRE', key, math.max(left, 1)) end
end
