-- lib/dict_index: the place of an entry in an ordered dict. data:index is a ZSET field -> number of the insertion.

-- @include lib/dict_fields
-- Number a field that was put just now, and store its original key. Return false if there is no dict to put it into:
-- the counter of one is at least 1.
local function add_to_index(data, field, original)
  local number = redis.call('HINCRBY', data, COUNTER, '1')
  if number == 1 then
    redis.call('DEL', data)
    return false
  end
  redis.call('ZADD', data .. ':index', number, field)
  if original ~= '' then
    redis.call('HSET', data .. ':originals', field, original)
    local ttl = redis.call('PTTL', data)
    if ttl > 0 then redis.call('PEXPIRE', data .. ':originals', ttl) end
  end
  return true
end
