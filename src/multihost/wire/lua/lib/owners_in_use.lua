-- lib/owners_in_use: which sessions have something in a list of theirs, asked with few commands.

-- Return a set of those owners of which a key exists; each key is that of the owner at the same position.
local function owners_in_use(keys, owners)
  local used = {}
  for i = 1, #keys, 64 do
    local last = math.min(i + 63, #keys)
    if redis.call('EXISTS', unpack(keys, i, last)) > 0 then
      for n = i, last do
        if not used[owners[n]] and redis.call('EXISTS', keys[n]) == 1 then used[owners[n]] = true end
      end
    end
  end
  return used
end
