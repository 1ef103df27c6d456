-- lib/rank: what stands in front of an item of a priority queue that is in flight or a dead letter.

-- @include lib/delivery
-- Return the rank of an item, and the item: the rank is kind, score, a space and 32 digits (see lib/sort_space).
local function split_rank(item)
  local stop = string.find(item, ' ', 1, true) + 32
  return string.sub(item, 1, stop), string.sub(item, stop + 1)
end

-- Return the value of an item that is in flight or a dead letter; has_rank: of a priority queue.
local function value_of(item, has_rank)
  local rank, count
  if has_rank then rank, item = split_rank(item) end
  count, item = delivery_count(item)
  return item
end
