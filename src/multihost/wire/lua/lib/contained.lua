-- lib/contained: what an object contains, for a client that walks on from there.

local function contained_in(refs)
  local contained = {}
  for _, field in ipairs(redis.call('HKEYS', refs)) do
    if string.sub(field, 1, 2) == 'n:' then contained[#contained + 1] = string.sub(field, 3) end
  end
  return contained
end

-- The object was let go: '.', or ',' and the epoch of that and what it contains, separated by commas.
local function release_contained(data)
  local refs = data .. ':refs'
  local contained = contained_in(refs)
  if redis.call('EXISTS', refs) == 0 then return '.' end
  local taken = redis.call('HINCRBY', refs, '', 1)
  redis.call('HSET', refs, 'd', taken)
  if #contained == 0 then return '.' end
  return ',' .. taken .. ',' .. table.concat(contained, ',')
end
