-- lib/refs: which unnamed objects a container holds, and how often.
--
-- data:refs is a hash: 'n:<ident>' counts, 'e:<ident>' is the epoch in which a kept container last took it in, '' the
-- last epoch, 'd' the one in which the container itself was last let go. A stored value that contains proxies starts
-- with '@<ident>,<ident>;', or with '#' where the references were counted before it was stored. A container without a
-- lease (named, or kept by one that is named) must own what it takes in beforehand: it refuses '@' with RETAIN. What
-- leaves it stays in refs with count 0 until it was disowned.

local RETAIN = 'RETAIN what the value refers to must be kept first'

-- Few containers hold proxies: the functions are made when one does.
local function references(data)
  local refs = data .. ':refs'
  local kept = redis.call('PTTL', data) == -1

  local function count(value, change)
    local zero = false
    local stop = string.find(value, ';', 2, true)
    if not stop then return false end -- no value of ours
    for ident in string.gmatch(string.sub(value, 2, stop - 1), '[^,]+') do
      if redis.call('HINCRBY', refs, 'n:' .. ident, change) <= 0 then
        zero = true
        if not kept then redis.call('HDEL', refs, 'n:' .. ident, 'e:' .. ident) end
      end
    end
    return zero
  end

  local function is_linked(value)
    local head = string.byte(value)
    return head == 64 or head == 35
  end

  local self = {flag = '.'}

  function self.must_retain(value)
    return kept and string.byte(value) == 64
  end

  -- Count what a stored value refers to, unless that was done before.
  function self.add(value)
    if string.byte(value) ~= 64 then return end
    count(value, 1)
    if not kept then redis.call('PEXPIRE', refs, math.max(redis.call('PTTL', data), 1)) end
  end

  -- Stop counting what a removed value refers to. The flag is '!' if the client has something to disown.
  function self.remove(value)
    if value and is_linked(value) and count(value, -1) and kept then self.flag = '!' end
    return self.flag
  end

  function self.remove_all()
    if not kept then
      redis.call('UNLINK', refs)
      return self.flag
    end
    redis.call('HDEL', refs, 'n:') -- a full server accepts what follows a deletion
    for _, field in ipairs(redis.call('HKEYS', refs)) do
      local kind = string.sub(field, 1, 2)
      if kind == 'n:' then
        redis.call('HSET', refs, field, 0)
        self.flag = '!'
      elseif kind == 'f:' then
        redis.call('HDEL', refs, field) -- a consumer, of whose places nothing is left
      end
    end
    return self.flag
  end

  -- Every reference so many times more.
  function self.multiply(elements, times)
    for _, value in ipairs(elements) do
      if is_linked(value) then count(value, times) end
    end
  end

  return self
end
