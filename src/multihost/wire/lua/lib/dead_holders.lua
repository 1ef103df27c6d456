-- lib/dead_holders: what dead sessions hold becomes free again.
--
-- What comes back never exceeds the initial value: a semaphore that is used as a signal starts at 0. A take that was
-- under way when the session died may be served later, so its registration becomes a tombstone: for an hour more its
-- places are looked through. No connection without a living process lasts that long.

-- @include lib/live_sessions
-- @include lib/holding
-- @include lib/places
-- @include lib/give_back
-- @include lib/set_free
-- @include lib/forget_place
-- @include lib/former_places
-- @include lib/note_lists
local function dead_holders(data, sessions, initial)
  local seen = live_sessions(sessions)
  initial = tonumber(initial) or 1

  local function empty(places)
    for _, place in ipairs(used_places(data, places)) do
      local key = data .. ':held:' .. place
      redis.call('LREM', key, '0', '') -- the mark of an object that was deleted
      give_back(data, key, math.max(initial - count_free(data), 0))
      redis.call('DEL', key)
    end
  end

  local function free_counted(session)
    local counted = tonumber(redis.call('HGET', data, TALLY .. session)) or 0
    if counted <= 0 then return end
    redis.call('HDEL', data, TALLY .. session)
    set_free(data, math.max(math.min(counted, initial - count_free(data)), 0))
  end

  -- Look after sessions that are registered, or were: fields and values of data:refs. idle: also after those that hold
  -- nothing. Return the living that hold something, and the other living.
  local function reap(refs, idle)
    local former, names, places, busy, others = {}, {}, {}, {}, {}
    for i = 1, #refs, 2 do
      local kind, session = string.sub(refs[i], 1, 2), string.sub(refs[i], 3)
      if kind == BURIED then
        for _, place in ipairs(places_of(session, refs[i + 1])) do former[#former + 1] = place end
        if idle then
          free_counted(session)
          if is_weathered(refs[i + 1], 3600) then
            redis.call('HDEL', data .. ':refs', refs[i])
            forget_list(data, session)
          end
        end
      elseif kind == CONSUMER then
        names[#names + 1] = session
        places[session] = places_of(session, refs[i + 1])
      end
    end
    seen.look_at(names)
    local holds = holding(data, names, places)
    for _, session in ipairs(names) do
      if seen.is_alive(session) then
        local list = holds[session] and busy or others
        list[#list + 1] = session
      elseif idle or holds[session] then
        empty(places[session])
        free_counted(session)
        for _, place in ipairs(places[session]) do forget_place(data, place) end
        set_tombstone(data, session, #places[session])
      end
    end
    empty(former)
    return busy, others
  end

  return {seen = seen, reap = reap}
end
