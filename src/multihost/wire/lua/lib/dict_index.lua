-- lib/dict_index: where an entry of an ordered dict stands.
--
-- data is a hash with the insertion counter under '', which is at least 1; data:index a ZSET field -> number.

-- A field that was put just now gets its place and its spelling; false if there is no dict to put it into.
local function add_to_index(data, field, spelling)
  local number = redis.call('HINCRBY', data, '', '1')
  if number == 1 then
    redis.call('DEL', data)
    return false
  end
  redis.call('ZADD', data .. ':index', number, field)
  if spelling ~= '' then
    redis.call('HSET', data .. ':spelled', field, spelling)
    local left = redis.call('PTTL', data)
    if left > 0 then redis.call('PEXPIRE', data .. ':spelled', left) end
  end
  return true
end
