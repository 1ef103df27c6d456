-- lib/contained: what an object contains, for a client that goes on from there.

-- @include lib/codes
-- @include lib/refs_fields
local function contained_in(refs)
  local contained = {}
  for _, field in ipairs(redis.call('HKEYS', refs)) do
    if string.sub(field, 1, 2) == COUNT then contained[#contained + 1] = string.sub(field, 3) end
  end
  return contained
end

-- Record that the object was released. Return OK, or CONTENTS, the epoch of that and what it contains, with commas.
local function release_contained(data)
  local refs = data .. ':refs'
  local contained = contained_in(refs)
  if redis.call('EXISTS', refs) == 0 then return OK end
  local epoch = redis.call('HINCRBY', refs, LAST_EPOCH, 1)
  redis.call('HSET', refs, RELEASED_IN, epoch)
  if #contained == 0 then return OK end
  return CONTENTS .. epoch .. ',' .. table.concat(contained, ',')
end
