-- lib/list: a list whose first element is an empty sentinel: it keeps an empty list in existence.

-- Append args[first ...]. Chunks of 1000.
local function push(data, args, first)
  for i = first, #args, 1000 do
    redis.call('RPUSH', data, unpack(args, i, math.min(i + 999, #args)))
  end
end
