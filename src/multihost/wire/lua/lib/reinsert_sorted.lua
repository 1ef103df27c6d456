-- lib/reinsert_sorted: put an item back into a priority queue, by what stood before it when it was taken: kind, score, digits.
--
-- It came out before all that are there: of those that only Python can compare it with, it is the first now, too. That
-- is place 0, in a queue that is sorted by comparison alone also score 0, below all others.

local function reinsert_sorted(data, rank, value)
  local kind, score, digits = string.match(rank, '^(.)(%S+) (%d+)$')
  local now = redis.call('HGET', data, 'k')
  if now == 'o' then
    score = '0'
  elseif now ~= kind then
    score = '-inf'
  end
  redis.call('ZADD', data .. ':items', score, string.rep('0', 16) .. string.sub(digits, 17) .. value)
end
