-- lib/create: create an object, or attach to the one that has its name.

-- What is known under the name, or nil if the object has to be created.
local function existing(names, data, name)
  if name == '' then return nil end
  local kind = redis.call('HGET', names, name)
  if kind and redis.call('EXISTS', data) == 1 then return '=' .. kind end
  return nil
end

-- Enter a named object under its name, give an unnamed one a lease. The kind is what the object stores itself (the
-- field 't' of its hash: its type, and field=list for each kind of waiter, see object/delete; nothing where users name
-- the fields, or there is no hash), and behind the first line feed its entry under its name.
local function register(names, name, kind, lease, keys)
  local stored, entry = string.match(kind, '^([^\n]*)\n(.*)$')
  if stored ~= '' then redis.call('HSET', keys[1], 't', stored) end
  if name ~= '' then
    redis.call('HSET', names, name, entry)
    return
  end
  for _, key in ipairs(keys) do redis.call('PEXPIRE', key, lease) end
end
