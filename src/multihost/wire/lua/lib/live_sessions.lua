-- lib/live_sessions: which sessions are alive. A session is the part of an identity before the first dot.

local function live_sessions(sessions)
  local seen = {}
  local self = {}

  -- Return the session info of an identity; false if its session has expired.
  function self.info(identity)
    local sid = string.match(identity, '^[^.]*')
    if seen[sid] == nil then
      local info = redis.pcall('GET', sessions .. ':' .. sid)
      seen[sid] = type(info) == 'table' and '' or info -- a key of another type: alive, for all that is known
    end
    return seen[sid]
  end

  -- Append session and session info of all that are alive to a list, and return it.
  function self.append_to(list)
    for sid, info in pairs(seen) do
      if info then
        list[#list + 1] = sid
        list[#list + 1] = info
      end
    end
    return list
  end

  return self
end
