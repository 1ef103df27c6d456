-- lib/contents: the unnamed objects that an object contains, of which there may be very many.

local FEW = 100 -- so many are told along with others; of more the client asks for pieces (object/contents) ...
local to_tell = 1000 -- ... and of all that come behind so many: nobody else is served meanwhile

-- Return the idents, or nil if they are too many.
local function few_contents(partition, ident)
  local key = partition .. ident .. ':contains'
  local size = redis.call('HLEN', key)
  if size > math.min(FEW, to_tell) then return nil end
  to_tell = to_tell - size
  return redis.call('HKEYS', key)
end
