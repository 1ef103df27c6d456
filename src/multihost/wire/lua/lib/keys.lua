-- lib/keys: every key that an object may own, and what its data:refs says: what it contains, and 'f:<session>' -> how
-- many places that session has for what it takes out of a queue (data:flight:<session>.<n>).

local function keys_of(data)
  local keys = {data, data .. ':index', data .. ':spelled', data .. ':refs', data .. ':owners'}
  keys[6], keys[7] = data .. ':items', data .. ':dead'
  local refs = redis.call('HGETALL', data .. ':refs')
  for i = 1, #refs, 2 do
    if string.sub(refs[i], 1, 2) == 'f:' then
      local place = data .. ':flight:' .. string.sub(refs[i], 3) .. '.'
      for n = 1, tonumber(refs[i + 1]) do keys[#keys + 1] = place .. n end
    end
  end
  return keys, refs
end
