-- lib/cut: enter in partition:cut that a container without a lease let go of objects.

-- @include lib/clock
-- With a time that is not before that of another entry: the collector reads on from there, also if the clock went back.
local function note_cut(partition, idents)
  local last = redis.call('ZREVRANGE', partition .. 'cut', 0, 0, 'WITHSCORES')[2] or 0
  local time, entries = digits(math.max(now(), tonumber(last))), {}
  for _, ident in ipairs(idents) do
    entries[#entries + 1] = time
    entries[#entries + 1] = ident
  end
  for i = 1, #entries, 1000 do
    redis.call('ZADD', partition .. 'cut', unpack(entries, i, math.min(i + 999, #entries)))
  end
end
