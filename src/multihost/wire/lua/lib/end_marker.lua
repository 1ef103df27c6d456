-- lib/end_marker: the end-of-queue marker. A queue that was shut down has one empty string behind its last item.

-- @include lib/queue_fields
local function put_end_marker(items, order)
  if order == LIFO then
    if redis.call('LINDEX', items, 0) ~= '' then redis.call('LPUSH', items, '') end
  elseif redis.call('LINDEX', items, -1) ~= '' then
    redis.call('RPUSH', items, '')
  end
end
