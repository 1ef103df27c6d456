-- lib/delivery: what stands in front of an item that was delivered before, and of one of a priority queue.

-- Return how often an item was delivered, and its value: '*<n>;' stands in front of the value if that is not 0.
local function delivery_count(item)
  if string.byte(item) ~= 42 then return 0, item end
  local count, value = string.match(item, '^%*(%d+);(.*)$')
  return tonumber(count), value
end

-- Return the rank of an item of a priority queue that is in flight or a dead letter, and the item: kind, score, a space
-- and 32 digits stand in front (see lib/sort_space).
local function split_rank(item)
  local stop = string.find(item, ' ', 1, true) + 32
  return string.sub(item, 1, stop), string.sub(item, stop + 1)
end

-- Return the value of an item that is in flight or a dead letter.
local function value_of(item, has_rank)
  local rank, count
  if has_rank then rank, item = split_rank(item) end
  count, item = delivery_count(item)
  return item
end
