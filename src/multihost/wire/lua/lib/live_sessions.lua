-- lib/live_sessions: which sessions are alive: those with a record. A session is the part of an identity before its
-- first dot.

-- @include lib/session_fields
local function live_sessions(sessions)
  local seen, alive = {}, {}
  local self = {}

  local function key_of(identity) return sessions .. ':' .. string.match(identity, '^[^.]*') end

  -- Find out of many at once whether they are alive: those that are cost one key each.
  function self.look_at(identities)
    for i = 1, #identities, 100 do
      local keys, last = {}, math.min(i + 99, #identities)
      for n = i, last do keys[#keys + 1] = key_of(identities[n]) end
      local all = redis.call('EXISTS', unpack(keys)) == #keys
      for n = i, last do alive[keys[n - i + 1]] = all or redis.call('EXISTS', keys[n - i + 1]) == 1 end
    end
  end

  function self.is_alive(identity)
    local key = key_of(identity)
    if alive[key] == nil then alive[key] = redis.call('EXISTS', key) == 1 end
    return alive[key]
  end

  -- Return the record of the session of an identity, as a list; false if there is none.
  function self.info(identity)
    local name = string.match(identity, '^[^.]*')
    if seen[name] == nil then
      local key = key_of(name)
      local record = redis.pcall('HMGET', key, BEATS, RUN, CONNECTIONS, HOST, PROCESS, GRACE, LEASE, HOSTNAME)
      if #record == 0 then record = {'?'} end -- a key of another type: alive, for all that is known
      seen[name] = record[1] and record
    end
    return seen[name]
  end

  -- Have so many of these judged, others at each turn: read their records.
  function self.judge(identities, turn, most)
    local first = #identities > most and turn * most or 0
    for n = 1, math.min(most, #identities) do self.info(identities[(first + n) % #identities + 1]) end
  end

  -- Append session and record of all whose record was read, and is there, to a list, and return it.
  function self.append_to(list)
    for name, record in pairs(seen) do
      if record then
        list[#list + 1] = name
        list[#list + 1] = record
      end
    end
    return list
  end

  return self
end
