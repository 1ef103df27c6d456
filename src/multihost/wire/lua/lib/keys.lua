-- lib/keys: every key that an object may own.

-- @include lib/refs_fields
-- @include lib/lists_of
local function is_consumer(field)
  local kind = string.sub(field, 1, 2)
  return kind == CONSUMER or kind == BURIED
end

-- Return the keys, and data:refs as a list of fields and values.
local function keys_of(data)
  local keys = {data, data .. ':index', data .. ':originals', data .. ':refs', data .. ':owners'}
  keys[6], keys[7], keys[8] = data .. ':items', data .. ':dead', data .. ':free'
  local refs = redis.call('HGETALL', data .. ':refs')
  for i = 1, #refs, 2 do
    if is_consumer(refs[i]) then
      local session = string.sub(refs[i], 3) .. '.'
      for n = 1, lists_of(string.match(refs[i + 1], '^%d+')) do
        keys[#keys + 1] = data .. ':inflight:' .. session .. n
        keys[#keys + 1] = data .. ':held:' .. session .. n
      end
    end
  end
  return keys, refs
end
