-- lib/create: create an object, or attach to the one that has its name.

-- What is known under the name, or nil if the object has to be created.
local function existing(names, data, name)
  if name == '' then return nil end
  local kind = redis.call('HGET', names, name)
  if kind and redis.call('EXISTS', data) == 1 then return '=' .. kind end
  return nil
end

-- A named object is entered under its name, an unnamed one gets a lease.
local function register(names, name, kind, lease, keys)
  if name ~= '' then
    redis.call('HSET', names, name, kind)
    return
  end
  for _, key in ipairs(keys) do redis.call('PEXPIRE', key, lease) end
end
