-- lib/barrier_generation: the end of a generation of a barrier.
--
-- What became of it lies in data:tokens:<g>, from where it goes round among those who wait. The last one to hear of it
-- removes it (barrier/claim); if one dies before, it expires.

local function finish_generation(data, generation, count, outcome)
  local tokens = data .. ':tokens:' .. generation
  if redis.call('EXISTS', tokens) == 1 then return end
  redis.call('RPUSH', tokens, outcome)
  redis.call('PEXPIRE', tokens, '60000')
  redis.call('HSET', data, 'l:' .. generation, count)
end

-- A party hears of it; the last one removes it.
local function acknowledge(data, generation)
  local tokens = data .. ':tokens:' .. generation
  local outcome = redis.call('LINDEX', tokens, '0')
  if redis.call('HINCRBY', data, 'l:' .. generation, '-1') <= 0 then
    redis.call('HDEL', data, 'l:' .. generation)
    redis.call('DEL', tokens)
  end
  return outcome or 'broken' -- long ago
end

-- End the generation that is filling, for those who wait in it, and one that runs its action. The first write is one
-- that a full server accepts.
local function break_generation(data, generation, arrived, state)
  local acting = redis.call('HGET', data, 'x')
  redis.call('HDEL', data, 'c', 'x')
  redis.call('HSET', data, 'c', '0', 's', state, 'g', generation + 1)
  if tonumber(arrived) > 0 then finish_generation(data, generation, arrived, 'broken') end
  if acting then finish_generation(data, acting, redis.call('HGET', data, 'n') - 1, 'broken') end
end
