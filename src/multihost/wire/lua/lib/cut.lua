-- lib/cut: enter in partition:cut that a container without a lease let go of an object.

-- @include lib/clock
-- With a time that is not before that of another entry: the collector reads on from there, also if the clock went back.
local function note_cut(partition, ident)
  local last = redis.call('ZREVRANGE', partition .. 'cut', 0, 0, 'WITHSCORES')[2] or 0
  redis.call('ZADD', partition .. 'cut', digits(math.max(now(), tonumber(last))), ident)
end
