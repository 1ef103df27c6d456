-- lib/end_marker: behind the last item of a queue that was shut down lies the empty string. There is one.

local function put_end_marker(items, order)
  if order == 'l' then
    if redis.call('LINDEX', items, 0) ~= '' then redis.call('LPUSH', items, '') end
  elseif redis.call('LINDEX', items, -1) ~= '' then
    redis.call('RPUSH', items, '')
  end
end
