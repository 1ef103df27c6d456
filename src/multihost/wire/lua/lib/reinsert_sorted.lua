-- lib/reinsert_sorted: put an item back into a priority queue, by the rank that it had (see lib/rank).
--
-- It was received before all that are in the queue: of those that only Python can compare it with, it is the first now,
-- too. That is place 0, in a queue that is sorted by comparison alone also score 0, below all others.

-- @include lib/queue_fields
local function reinsert_sorted(data, rank, value)
  local kind, score, digits = string.match(rank, '^(.)(%S+) (%d+)$')
  local now = redis.call('HGET', data, KIND)
  if not digits then score, digits = '0', '' end -- not written by multihost
  if now == OTHERS then
    score = '0'
  elseif now ~= kind then
    score = '-inf'
  end
  redis.call('ZADD', data .. ':items', score, string.rep('0', 16) .. string.sub(digits, 17) .. value)
end
