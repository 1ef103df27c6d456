-- lib/stored: what the first byte of a stored value says.

-- Return true if a value contains proxies of unnamed objects: it starts with '@<ident>,<ident>;', or with '#'.
local function is_linked(value)
  local head = string.byte(value)
  return head == 64 or head == 35
end

-- Return true if its references have yet to be counted: '@'. They were counted before it was stored: '#'.
local function must_count(value)
  return string.byte(value) == 64
end
