-- lib/buried: consumers whose session is dead. What they sent before they died may still arrive: for a minute they are
-- remembered, and their in-flight lists are looked through.

-- @include lib/refs_fields
-- @include lib/live_sessions
-- @include lib/lists_of
-- @include lib/note_lists
-- Return how many in-flight lists to look through, by a field of data:refs; 0 if it is not that of a dead consumer.
local function lists_of_dead(data, field, value, seen)
  local kind, session = string.sub(field, 1, 2), string.sub(field, 3)
  if kind ~= CONSUMER and kind ~= BURIED or seen.info(session) then return 0 end
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
