-- lib/set: members of a set. data is a SET of canonical fields with the sentinel '', which keeps an empty set in
-- existence; data:originals has the members that differ from their field.

-- Add args[first + 1 ...]: first the number of original members, then field and original of each, then the fields.
local function add_members(data, args, first)
  local originals = data .. ':originals'
  local start = first + 1 + 2 * tonumber(args[first])
  local has_new = false
  for i = first + 1, start - 1, 2 do
    if redis.call('SISMEMBER', data, args[i]) == 0 then
      redis.call('HSET', originals, args[i], args[i + 1])
      has_new = true
    end
  end
  if has_new then -- not else: after any write a full server would accept the others
    local ttl = redis.call('PTTL', data)
    if ttl > 0 then redis.call('PEXPIRE', originals, ttl) end
  end
  for i = start, #args, 1000 do
    redis.call('SADD', data, unpack(args, i, math.min(i + 999, #args)))
  end
end

-- Remove fields[first ...]. Return how many members that were. Chunks of 1000.
local function remove_members(data, fields, first)
  local removed = 0
  for i = first, #fields, 1000 do
    local last = math.min(i + 999, #fields)
    removed = removed + redis.call('SREM', data, unpack(fields, i, last))
    redis.call('HDEL', data .. ':originals', unpack(fields, i, last))
  end
  return removed
end
