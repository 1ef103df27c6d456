-- lib/linked_content: values with proxies in an object that is being created.

-- @include lib/refs
-- Return the refusal if what one of values[first], values[first + step] ... refers to must be kept first, since the
-- object has a name; nil if nothing must. They become as they are stored.
local function take_content(data, name, values, first, step)
  local partition = partition_of(data)
  for i = first, #values, step do
    if name ~= '' and is_linked(values[i]) and is_stale(partition, values[i]) then return keep_first(partition) end
  end
  for i = first, #values, step do values[i] = stored_form(values[i]) end
  return nil
end

-- Count the references of those.
local function count_content(data, values, first, step)
  local links
  for i = first, #values, step do
    if is_linked(values[i]) then
      links = links or references(data)
      links.add(values[i])
    end
  end
end
