-- lib/stored: what the first byte of a stored value says. A script that is called often compares the byte itself.

-- @include lib/stored_bytes
-- Return true if a value contains proxies of unnamed objects.
local function is_linked(value)
  local head = string.byte(value)
  return head == UNCOUNTED or head == COUNTED
end

-- Return true if its references have yet to be counted.
local function must_count(value)
  return string.byte(value) == UNCOUNTED
end
