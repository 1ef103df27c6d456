-- lib/requeue: put the items of an in-flight list back to where they were in the queue.
--
-- Each is stored with how often it was delivered (lib/delivery). One that was delivered as often as it may be becomes a
-- dead letter.

-- @include lib/queue_fields
-- @include lib/rank
-- @include lib/inherit_ttl
-- @include lib/end_marker
-- @include lib/reinsert_sorted
-- Return how many went back, and how many became dead letters. counted: they were delivered, so count that.
local function requeue(data, in_flight, order, counted, limit, shut_down)
  local items, requeued, letters = data .. ':items', 0, {}
  while true do
    local item = redis.call('RPOP', in_flight)
    if not item then break end
    if item == '' then
      if shut_down then put_end_marker(items, order) end -- else it is the marker of a queue that was deleted
    else
      local rank, value = '', item
      if order == PRIORITY then rank, value = split_rank(item) end
      local count, bare = delivery_count(value)
      count = count + 1
      if counted then value = '*' .. count .. ';' .. bare end
      if counted and limit > 0 and count >= limit then
        table.insert(letters, 1, rank .. bare)
      elseif order == PRIORITY then
        reinsert_sorted(data, rank, value)
        requeued = requeued + 1
      else
        redis.call(order == LIFO and 'RPUSH' or 'LPUSH', items, value)
        requeued = requeued + 1
      end
    end
  end
  if requeued > 0 then inherit_ttl(data, items) end
  for _, letter in ipairs(letters) do redis.call('RPUSH', data .. ':dead', letter) end
  if #letters > 0 then inherit_ttl(data, data .. ':dead') end
  return requeued, #letters
end
