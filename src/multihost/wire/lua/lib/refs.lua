-- lib/refs: which unnamed objects a container holds, and how often: data:contains.
--
-- A container without a lease, named or kept, takes in only what has lost its lease before (object/keep) in the epoch
-- of its own partition, or a later one: the value brings that epoch along, its stamp. Else it refuses the value with
-- KEEP. What such a container lets go counts as contained for one more lease: it is entered in partition:cut.

-- @include lib/codes
-- @include lib/partition
-- @include lib/stamps
local MANY = 1000 -- what a container lets go at once is entered one by one, unless it is more
-- Few containers hold proxies: the functions are made when one does.
local function references(data)
  local contains, partition = data .. ':contains', partition_of(data)
  local persistent = redis.call('PTTL', data) == -1
  local ident = string.sub(data, #partition + 1)

  local function let_go(contained)
    redis.call('HDEL', contains, contained)
    if not persistent then return end
    -- @include lib/cut
    note_cut(partition, {contained})
  end

  local function count(value, change)
    local stop = string.find(value, ';', 2, true)
    if not stop then return false end -- not written by multihost
    local unused = false
    for contained in string.gmatch(string.sub(value, 2, stop - 1), '[^,]+') do
      if redis.call('HINCRBY', contains, contained, change) <= 0 then
        let_go(contained)
        unused = persistent
      end
    end
    return unused
  end

  local self = {code = OK, count = count}
  -- Return true if the value is refused: what it refers to has to be kept first.
  function self.must_keep(value)
    return persistent and is_linked(value) and is_stale(partition, value)
  end

  function self.refusal() return keep_first(partition) end

  -- Count the references of a value that is stored now.
  function self.add(value)
    if not is_linked(value) then return end
    count(value, 1)
    if not persistent then
      redis.call('PEXPIRE', contains, math.max(redis.call('PTTL', data), 1))
    elseif string.sub(ident, 1, 2) == 'n:' then
      redis.call('SADD', partition .. 'tops', ident)
    end
  end

  -- Stop counting the references of a removed value. Return CUT if that left objects to the collector, else OK.
  function self.remove(value)
    if value and is_linked(value) and count(value, -1) then self.code = CUT end
    return self.code
  end

  function self.remove_all()
    -- @include lib/allow_oom
    allow_oom(contains)
    local size = persistent and redis.call('HLEN', contains) or 0
    if size > 0 then self.code = CUT end
    if size > MANY then
      -- @include lib/let_go_much
      let_go_much(partition, contains)
    elseif size > 0 then
      -- @include lib/cut
      note_cut(partition, redis.call('HKEYS', contains))
    end
    redis.call('UNLINK', contains)
    return self.code
  end

  return self
end
