-- lib/insert_sorted: put an item into a priority queue; the reply. For kind, score and place see queue/put_ranked and lib/sort_space.

local function insert_sorted(record, request, data, kind, score, place, value)
  if string.byte(value) == 64 then
    -- @include lib/refs
    local links = references(data)
    if links.must_retain(value) then return save_error(record, request, RETAIN) end
    links.add(value)
  end
  local items = data .. ':items'
  local number = redis.call('HINCRBY', data, 'i', 1)
  redis.call('ZADD', items, score, string.format('%016.0f%016.0f', place, number) .. value)
  if redis.call('ZCARD', items) == 1 then
    redis.call('HSET', data, 'k', kind)
    inherit_ttl(data, items)
  end
  local state = redis.call('HMGET', data, 'j', 'u', 'gw')
  redis.call('HINCRBY', data, 'u', 1)
  if state[1] and state[2] == '0' then
    redis.call('DEL', data .. ':tokens:join')
    redis.call('HDEL', data, 'j')
  end
  local takers = tonumber(state[3] or 0)
  if takers > redis.call('LLEN', data .. ':tokens:get') then wake(data .. ':tokens:get', 1) end
  return '.'
end
