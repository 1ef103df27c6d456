-- queue/level: number the items of a priority queue anew, as they stand, so that any may come between. May be repeated.
--
-- O(items log items).
--
-- KEYS
--   data        hash  'k' -> kind of the items
--   data:items  zset  the items
-- ARGV
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/keep
-- @include lib/shelve
local data = KEYS[1]

local items = data .. ':items'
local all = redis.call('ZRANGE', items, 0, -1)
if #all == 0 then return false end
local score = MIDDLE - math.floor(#all / 2) * STEP
local place = string.format('%016.0f', MIDDLE)
redis.call('DEL', items)
for _, member in ipairs(all) do
  redis.call('ZADD', items, string.format('%.0f', score), place .. string.sub(member, 17))
  score = score + STEP
end
keep(data, items)
redis.call('HSET', data, 'k', 'o')
return false
