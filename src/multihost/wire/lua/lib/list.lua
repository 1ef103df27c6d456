-- lib/list: a list whose first element is an empty sentinel, so that an empty list is still there.

-- Append args[first ...]. Chunks of 1000.
local function push(data, args, first)
  for i = first, #args, 1000 do
    redis.call('RPUSH', data, unpack(args, i, math.min(i + 999, #args)))
  end
end

-- Stands for an element that is about to go: no stored value starts with NUL.
local MARK = '\0'
