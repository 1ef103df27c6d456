-- lib/buried: consumers whose session is dead. What they sent before they died may still arrive: for a minute they are
-- remembered, and their in-flight lists are looked through.

-- @include lib/refs_fields
-- @include lib/live_sessions
-- @include lib/lists_of
-- @include lib/note_lists
-- @include lib/owners_in_use
-- Return those of these sessions that are alive, and those of them that have items; in pairs of field and value.
local function living_consumers(data, refs, seen)
  local names, keys, owners = {}, {}, {}
  for i = 1, #refs, 2 do
    if string.sub(refs[i], 1, 2) == CONSUMER then names[#names + 1] = string.sub(refs[i], 3) end
  end
  seen.look_at(names)
  local living, busy = {}, {}
  for i = 1, #refs, 2 do
    local session = string.sub(refs[i], 3)
    if string.sub(refs[i], 1, 2) == CONSUMER and seen.is_alive(session) then
      living[#living + 1] = session
      for n = 1, lists_of(string.match(refs[i + 1], '^%d+')) do
        keys[#keys + 1] = data .. ':inflight:' .. session .. '.' .. n
        owners[#owners + 1] = session
      end
    end
  end
  for session in pairs(owners_in_use(keys, owners)) do busy[#busy + 1] = session end
  return living, busy
end

-- Return how many in-flight lists to look through, by a field of data:refs; 0 if it is not that of a dead consumer.
local function lists_of_dead(data, field, value, seen)
  local kind, session = string.sub(field, 1, 2), string.sub(field, 3)
  if kind ~= CONSUMER and kind ~= BURIED or seen.is_alive(session) then return 0 end
  local lists, since = string.match(value, '^(%d+) ?(%d*)$')
  lists = lists_of(lists)
  local now = redis.call('TIME')[1]
  if kind == CONSUMER then
    redis.call('HDEL', data .. ':refs', field)
    redis.call('HSET', data .. ':refs', BURIED .. session, lists .. ' ' .. now)
  elseif math.abs(now - (tonumber(since) or 0)) > 60 then
    redis.call('HDEL', data .. ':refs', field)
    forget_list(data, session)
  end
  return lists
end
