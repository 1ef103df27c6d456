-- lib/refs: which unnamed objects a container holds, and how often.
--
-- data:refs counts the references, and notes the epochs in which the container took objects in (lib/refs_fields). A
-- container without a lease (named, or owned by one that is) must own an object before it takes it in: it refuses a
-- value whose references are not counted (lib/stored) with RETAIN; the client prepares that (object/prepare_adopt) and
-- sends the value as counted. What was removed from it stays in refs with count 0 until the client has disowned it.

-- @include lib/codes
-- @include lib/refs_fields
-- @include lib/stored
-- Few containers hold proxies: the functions are made when one does.
local function references(data)
  local refs = data .. ':refs'
  local persistent = redis.call('PTTL', data) == -1

  -- Return true if a count has fallen to 0.
  local function count(value, change)
    local unused = false
    local stop = string.find(value, ';', 2, true)
    if not stop then return false end -- not written by multihost
    for ident in string.gmatch(string.sub(value, 2, stop - 1), '[^,]+') do
      if redis.call('HINCRBY', refs, COUNT .. ident, change) <= 0 then
        unused = true
        if not persistent then redis.call('HDEL', refs, COUNT .. ident, EPOCH .. ident) end
      end
    end
    return unused
  end

  local self = {code = OK}

  function self.must_retain(value)
    return persistent and must_count(value)
  end

  -- Count the references of a stored value, unless that was done before.
  function self.add(value)
    if not must_count(value) then return end
    count(value, 1)
    if not persistent then redis.call('PEXPIRE', refs, math.max(redis.call('PTTL', data), 1)) end
  end

  -- Stop counting the references of a removed value. Return DISOWN if the client has an object to disown, else OK.
  function self.remove(value)
    if value and is_linked(value) and count(value, -1) and persistent then self.code = DISOWN end
    return self.code
  end

  function self.remove_all()
    if not persistent then
      redis.call('UNLINK', refs)
      return self.code
    end
    -- @include lib/allow_oom
    allow_oom(refs)
    for _, field in ipairs(redis.call('HKEYS', refs)) do
      local kind = string.sub(field, 1, 2)
      if kind == COUNT then
        redis.call('HSET', refs, field, 0)
        self.code = DISOWN
      elseif kind == CONSUMER or kind == BURIED then
        redis.call('HDEL', refs, field) -- its places are deleted
      end
    end
    return self.code
  end

  -- Count every reference so many times more.
  function self.multiply(elements, times)
    for _, value in ipairs(elements) do
      if is_linked(value) then count(value, times) end
    end
  end

  return self
end
