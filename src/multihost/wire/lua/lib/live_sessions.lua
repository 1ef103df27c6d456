-- lib/live_sessions: which sessions are alive: those with a record. A session is the part of an identity before its
-- first dot.

-- @include lib/session_fields
local function live_sessions(sessions)
  local seen = {}
  local self = {}

  -- Return the record of the session of an identity, as a list; false if there is none.
  function self.info(identity)
    local name = string.match(identity, '^[^.]*')
    if seen[name] == nil then
      local key = sessions .. ':' .. name
      local record = redis.pcall('HMGET', key, BEATS, RUN, CONNECTIONS, HOST, PROCESS, GRACE, LEASE, HOSTNAME)
      if #record == 0 then record = {'?'} end -- a key of another type: alive, for all that is known
      seen[name] = record[1] and record
    end
    return seen[name]
  end

  -- Append session and record of all that are alive to a list, and return it.
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
