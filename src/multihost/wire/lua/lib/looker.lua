-- lib/looker: of the sessions that wait for an object one at a time looks after it, the others only ask.
--
-- Who looks says when, in the object, and how many wait: so the others know how rarely to ask. If it stops another one
-- takes over at its next question. A jump of the clock does no more than that.

-- @include lib/object_fields
local STALE = 600 -- milliseconds after which another one may look
local JUDGED = 256 -- sessions whose records are read in one look, of those that hold something
local JUDGED_IDLE = 64 -- the same of others, now and then

local function milliseconds()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- Return how many wait, by the value of its field, if another session looks after the object; else nil. Nobody is
-- another one for who has no name: that looks in any case.
local function looked_after(value, looker)
  local since, waiters, other = string.match(value or '', '^(%d+) (%d+) (.+)$')
  if looker == '' or not since or other == looker then return nil end
  if math.abs(milliseconds() - since) > STALE then return nil end
  return tonumber(waiters)
end

local function note_look(data, field, looker, waiters)
  if looker == '' then return end
  redis.call('HSET', data, field, string.format('%.0f %.0f ', milliseconds(), waiters) .. looker)
end

-- Return a part of the fields and values of a hash, and where the next one begins. Without a looker it is all of them.
local function next_part(hash, looker, cursor)
  if looker == '' then return redis.call('HGETALL', hash), '0' end
  local found = redis.call('HSCAN', hash, string.match(cursor, '^%d+$') or '0', 'COUNT', '256')
  return found[2], found[1]
end
