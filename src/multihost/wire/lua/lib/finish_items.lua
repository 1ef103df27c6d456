-- lib/finish_items: remove the first items of an in-flight list, which are done.

-- @include lib/rank
-- @include lib/stored
-- @include lib/end_marker
-- Return how many items that were, and CUT if the client has an object to disown, else OK.
local function finish_items(data, list, count, order, shut_down)
  local finished, code = 0, OK
  for _ = 1, count do
    local item = redis.call('LPOP', list)
    if item ~= '' then
      finished = finished + 1
      local value = value_of(item, order == PRIORITY)
      if is_linked(value) then
        -- @include lib/refs
        if references(data).remove(value) == CUT then code = CUT end
      end
    elseif shut_down then
      put_end_marker(data .. ':items', order)
    end
  end
  return finished, code
end
