-- lib/delivery: what stands in front of an item that was delivered before.

-- @include lib/stored_bytes
-- Return how often an item was delivered, and its value: '*<n>;' stands in front of the value if that is not 0.
local function delivery_count(item)
  if string.byte(item) ~= DELIVERED then return 0, item end
  local count, value = string.match(item, '^%*(%d+);(.*)$')
  if not count or #count > 15 then return 0, item end -- not written by multihost
  return tonumber(count), value
end
