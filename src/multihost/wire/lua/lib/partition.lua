-- lib/partition: what all keys of a partition start with, and what the collector knows of it.
--
-- kept     zset  unnamed object without a lease -> its colour: 2 * epoch = grey, 2 * epoch + 1 = black, less = white
-- held     zset  such an object -> when the last lease of a process that holds it ends
-- cut      zset  unnamed object -> when a container without a lease contained it last
-- partial  set   objects without a lease of which some contents may have one
-- tops     set   named objects that contain unnamed ones
-- epoch    hash  see lib/epoch_fields

local function partition_of(data)
  return string.match(data, '^{[^}]*}:')
end
