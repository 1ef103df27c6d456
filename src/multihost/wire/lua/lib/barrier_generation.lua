-- lib/barrier_generation: the end of a generation of a barrier.
--
-- Its outcome is stored in data:tokens:<g>, from where it goes round among the waiters. The last one that claims it
-- removes it (barrier/claim); if one dies before, it expires.

-- @include lib/codes
-- @include lib/ttl
-- @include lib/barrier_fields
local function finish_generation(data, generation, count, outcome)
  local tokens = data .. ':tokens:' .. generation
  if redis.call('EXISTS', tokens) == 1 then return end
  redis.call('RPUSH', tokens, outcome)
  redis.call('PEXPIRE', tokens, TTL)
  redis.call('HSET', data, UNNOTIFIED .. generation, count)
end

-- Return the outcome to one party; the last one removes it.
local function acknowledge(data, generation)
  local tokens = data .. ':tokens:' .. generation
  local outcome = redis.call('LINDEX', tokens, '0')
  if redis.call('HINCRBY', data, UNNOTIFIED .. generation, '-1') <= 0 then
    redis.call('HDEL', data, UNNOTIFIED .. generation)
    redis.call('DEL', tokens)
  end
  return outcome or BROKEN -- it has expired
end

-- End the generation that is filling, for its waiters, and one whose action is running.
local function break_generation(data, generation, arrived, state)
  local acting = redis.call('HGET', data, ACTING)
  redis.call('HDEL', data, ARRIVED, ACTING) -- first, see lib/allow_oom
  redis.call('HSET', data, ARRIVED, '0', STATE, state, GENERATION, generation + 1)
  if tonumber(arrived) > 0 then finish_generation(data, generation, arrived, BROKEN) end
  if acting then finish_generation(data, acting, redis.call('HGET', data, PARTIES) - 1, BROKEN) end
end
