-- queue/renumber: number the items of a priority queue again, in their order, so that any may come between. Idempotent.
--
-- O(items log items).
--
-- KEYS
--   data        hash  KIND
--   data:items  zset  the items
-- ARGV
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/queue_fields
-- @include lib/inherit_ttl
-- @include lib/sort_space
local data = KEYS[1]

local items = data .. ':items'
local all = redis.call('ZRANGE', items, 0, -1, 'WITHSCORES')
if #all == 0 then return false end
local kind = redis.call('HGET', data, KIND)
local score = MIDDLE - math.floor(#all / 4) * STEP
local place, was_put_back = string.format('%016.0f', MIDDLE), string.rep('0', 16)
redis.call('DEL', items)
for i = 1, #all, 2 do
  local member = all[i]
  -- What was put back stays before those that it cannot be compared with.
  if string.sub(member, 1, 16) == was_put_back and (kind == OTHERS or all[i + 1] == '-inf') then
    redis.call('ZADD', items, '0', member)
  else
    redis.call('ZADD', items, string.format('%.0f', score), place .. string.sub(member, 17))
    score = score + STEP
  end
end
inherit_ttl(data, items)
redis.call('HSET', data, KIND, OTHERS)
return false
