-- lib/inherit_ttl: let a key expire with the unnamed object that it belongs to. One that was empty is a new key.

local function inherit_ttl(data, key)
  local ttl = redis.call('PTTL', data)
  if ttl >= 0 then redis.call('PEXPIRE', key, math.max(ttl, 1)) end
end
