-- lib/size: the number of items in a queue. One that was shut down has an end marker, unless it is sorted.

-- @include lib/queue_fields
local function size_of(data, order, shut_down)
  if order == PRIORITY then return redis.call('ZCARD', data .. ':items') end
  return redis.call('LLEN', data .. ':items') - (shut_down and 1 or 0)
end
