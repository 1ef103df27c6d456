-- lib/insert_sorted: put an item into a priority queue. For kind, score and place see queue/put_ranked, lib/sort_space.

-- @include lib/codes
-- @include lib/save_error
-- @include lib/queue_fields
-- @include lib/stored
-- @include lib/inherit_ttl
-- @include lib/wake
-- Return the reply: OK, or the error KEEP.
local function insert_sorted(reply_cache, request, data, kind, score, place, value)
  if is_linked(value) then
    -- @include lib/refs
    local links = references(data)
    if links.must_keep(value) then return save_error(reply_cache, request, links.refusal()) end
    value = stored_form(value)
    links.add(value)
  end
  local items = data .. ':items'
  local number = redis.call('HINCRBY', data, LAST_NUMBER, 1)
  redis.call('ZADD', items, score, string.format('%016.0f%016.0f', place, number) .. value)
  if redis.call('ZCARD', items) == 1 then
    redis.call('HSET', data, KIND, kind)
    inherit_ttl(data, items)
  end
  local state = redis.call('HMGET', data, JOINED, UNFINISHED, GETTERS)
  redis.call('HINCRBY', data, UNFINISHED, 1)
  if state[1] and state[2] == '0' then
    redis.call('DEL', data .. ':tokens:join')
    redis.call('HDEL', data, JOINED)
  end
  local getters = tonumber(state[3] or 0)
  if getters > redis.call('LLEN', data .. ':tokens:get') then wake(data .. ':tokens:get', 1) end
  return OK
end
