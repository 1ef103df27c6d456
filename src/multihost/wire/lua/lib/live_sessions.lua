-- lib/live_sessions: which sessions live. A session is the part of an identity before the first dot.

local function live_sessions(sessions)
  local seen = {}
  local self = {}

  -- What the session of an identity says of itself; false if it is dead.
  function self.note(identity)
    local sid = string.match(identity, '^[^.]*')
    if seen[sid] == nil then seen[sid] = redis.call('GET', sessions .. ':' .. sid) end
    return seen[sid]
  end

  -- All that live, in pairs of session and what it says of itself, behind what is in the list.
  function self.append_to(list)
    for sid, note in pairs(seen) do
      if note then
        list[#list + 1] = sid
        list[#list + 1] = note
      end
    end
    return list
  end

  return self
end
