-- lib/shelve: put an item into a priority queue.
--
-- data:items is sorted by a score and, among equal ones, by the first 16 digits of the member, its place; 16 more make
-- it unique, the rest is the value. MIDDLE is the place of the first; there is room for 2^52 on both sides.

local MIDDLE, STEP = 4503599627370496, 65536

local function shelve(data, score, place, value)
  local number = redis.call('HINCRBY', data, 'i', 1)
  redis.call('ZADD', data .. ':items', score, string.format('%016.0f%016.0f', place, number) .. value)
  if redis.call('ZCARD', data .. ':items') == 1 then keep(data, data .. ':items') end
  local state = redis.call('HMGET', data, 'j', 'u', 'gw')
  redis.call('HINCRBY', data, 'u', 1)
  if state[1] and state[2] == '0' then
    redis.call('DEL', data .. ':tokens:join')
    redis.call('HDEL', data, 'j')
  end
  local takers = tonumber(state[3] or 0)
  if takers > 0 then
    local hints = redis.call('LLEN', data .. ':tokens:get')
    if hints < takers then wake(data .. ':tokens:get', 1) end
  end

end
