-- lib/note_lists: which sessions have places, or in-flight lists, at which objects of a partition.
--
-- Such a list is made by the move of an element. If the object has expired meanwhile the list has no lease, and nothing
-- else tells of it: the collector finds it here.

local function note_lists(data, session, count)
  local partition, ident = string.match(data, '^({[^}]*}:)(.*)$')
  redis.call('HSET', partition .. 'lists', ident .. ' ' .. session, count)
end

local function forget_list(data, session)
  local partition, ident = string.match(data, '^({[^}]*}:)(.*)$')
  redis.call('HDEL', partition .. 'lists', ident .. ' ' .. session)
end

-- Those of all sessions, by the fields and values of data:refs.
local function forget_lists(data, refs)
  for i = 1, #refs, 2 do forget_list(data, string.sub(refs[i], 3)) end
end
