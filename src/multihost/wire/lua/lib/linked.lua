-- lib/linked: whether a stored value contains proxies of unnamed objects; '@' and '#' say so.

local function is_linked(value)
  local head = string.byte(value)
  return head == 64 or head == 35
end
