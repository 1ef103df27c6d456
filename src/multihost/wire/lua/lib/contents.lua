-- lib/contents: the unnamed objects that an object contains, of which there may be very many.

local FEW = 100 -- so many are told along with others; of more the client asks for pieces (object/contents)

-- Return the idents, or nil if they are too many.
local function few_contents(partition, ident)
  local key = partition .. ident .. ':contains'
  if redis.call('HLEN', key) > FEW then return nil end
  return redis.call('HKEYS', key)
end
