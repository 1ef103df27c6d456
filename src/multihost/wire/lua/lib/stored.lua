-- lib/stored: what the first byte of a value says. A script that is called often compares the byte itself.

-- @include lib/stored_bytes
-- Return true if a value contains proxies of unnamed objects.
local function is_linked(value)
  local head = string.byte(value)
  return head == LINKED or head == STAMPED and string.find(value, '^#%d+,') ~= nil
end

-- Return a value as it is stored: without its stamp.
local function stored_form(value)
  if string.byte(value) ~= STAMPED or not is_linked(value) then return value end
  return '@' .. string.match(value, '^#%d+,(.*)$')
end

-- Do that with ARGV[first], ARGV[first + step] ...
local function store_forms(first, step)
  for i = first, #ARGV, step do ARGV[i] = stored_form(ARGV[i]) end
end
