-- object/drop_stale_intent: a container that was to own something was not made, or other programs removed it. May be repeated.
--
-- Whoever is about to make it has just written the note of what it will own: only an old one is let go. O(fields).
--
-- KEYS
--   data       any   the container
--   data:refs  hash  unnamed objects that it was to contain
-- ARGV
--   seconds  int  since when nobody touched the note
-- RETURNS  '!' (objects were let go), '.' if the note was of nothing, and is removed; nil if there is a container,
--          or the note is not that old
-- ERRORS   none

local data = KEYS[1]
local seconds = ARGV[1]

local refs = data .. ':refs'
if redis.call('EXISTS', data) == 1 or redis.call('PTTL', refs) ~= -1 then return false end
local idle = redis.pcall('OBJECT', 'IDLETIME', refs) -- an error where the server counts uses instead
if type(idle) ~= 'number' or idle < tonumber(seconds) then return false end
redis.call('HDEL', refs, 'n:') -- a full server accepts what follows a deletion, of nothing too
local flag = '.'
for _, field in ipairs(redis.call('HKEYS', refs)) do
  if string.sub(field, 1, 2) == 'n:' then
    redis.call('HSET', refs, field, '0')
    flag = '!'
  end
end
if flag == '.' then redis.call('UNLINK', refs) end
return flag
