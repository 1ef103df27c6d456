-- lib/in_flight_lists: the in-flight lists of all consumers of a queue.

-- @include lib/refs_fields
-- @include lib/lists_of
local function in_flight_lists(data)
  local found, refs = {}, redis.call('HGETALL', data .. ':refs')
  for i = 1, #refs, 2 do
    local kind = string.sub(refs[i], 1, 2)
    if kind == CONSUMER or kind == BURIED then
      local in_flight = data .. ':inflight:' .. string.sub(refs[i], 3) .. '.'
      for n = 1, lists_of(string.match(refs[i + 1], '^%d+')) do found[#found + 1] = in_flight .. n end
    end
  end
  return found
end
