-- lib/look_at_waiters: forget dead waiters, which are fields of a hash: two letters, then session and thread.

-- Remove those fields of these kinds whose session is dead, and return how many of each kind are left.
local function look_at_waiters(data, kinds, seen, turn)
  local names, fields, left, living = {}, {}, {}, {}
  for kind in pairs(kinds) do left[kind] = 0 end
  for _, field in ipairs(redis.call('HKEYS', data)) do
    if kinds[string.sub(field, 1, 2)] then
      fields[#fields + 1] = field
      names[#names + 1] = string.sub(field, 3)
    end
  end
  seen.look_at(names)
  for n, field in ipairs(fields) do
    local kind = string.sub(field, 1, 2)
    if seen.is_alive(names[n]) then
      left[kind] = left[kind] + 1
      living[#living + 1] = names[n]
    else
      redis.call('HDEL', data, field)
    end
  end
  seen.judge(living, turn, JUDGED_IDLE)
  return left
end
