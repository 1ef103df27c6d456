-- lib/size: how many items lie in a queue. One that was shut down has a mark behind its last item, unless it is sorted.

local function size_of(data, order, down)
  if order == 'p' then return redis.call('ZCARD', data .. ':items') end
  return redis.call('LLEN', data .. ':items') - (down and 1 or 0)
end
