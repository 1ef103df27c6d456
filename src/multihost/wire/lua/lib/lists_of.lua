-- lib/lists_of: how many places or in-flight lists a session has, by data:refs, which another program may have altered.

-- 0 for more than a million, which no session has: a script that counts on and on occupies the server.
local function lists_of(count)
  local lists = tonumber(count) or 0
  return lists <= 1000000 and lists or 0
end
