-- lib/keys: every key that an object may own.

-- @include lib/refs_fields
-- @include lib/lists_of
-- Return the keys, and data:refs as a list of fields and values.
local function keys_of(data)
  local keys = {data, data .. ':index', data .. ':originals', data .. ':refs', data .. ':contains'}
  keys[6], keys[7], keys[8], keys[9] = data .. ':items', data .. ':dead', data .. ':free', data .. ':given'
  local refs = redis.call('HGETALL', data .. ':refs')
  for i = 1, #refs, 2 do
    local session = string.sub(refs[i], 3) .. '.'
    for n = 1, lists_of(string.match(refs[i + 1], '^%d+')) do
      keys[#keys + 1] = data .. ':inflight:' .. session .. n
      keys[#keys + 1] = data .. ':held:' .. session .. n
    end
  end
  return keys, refs
end
