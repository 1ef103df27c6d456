-- lib/keys: every key that an object may own.

-- @include lib/refs_fields
-- @include lib/lists_of
-- Return the keys, and data:refs as a list of fields and values.
local function keys_of(data)
  local keys = {data, data .. ':index', data .. ':originals', data .. ':refs', data .. ':owners'}
  keys[6], keys[7] = data .. ':items', data .. ':dead'
  local refs = redis.call('HGETALL', data .. ':refs')
  for i = 1, #refs, 2 do
    if string.sub(refs[i], 1, 2) == CONSUMER then
      local in_flight = data .. ':inflight:' .. string.sub(refs[i], 3) .. '.'
      for n = 1, lists_of(refs[i + 1]) do keys[#keys + 1] = in_flight .. n end
    end
  end
  return keys, refs
end
