-- object/drop_stale_intent: release what a container that does not exist was prepared to own. Idempotent. O(fields).
--
-- A client that is about to create it has just written that: only what is old is released.
--
-- KEYS
--   data       any   the container
--   data:refs  hash  references to unnamed objects that it was to contain
-- ARGV
--   seconds  int  how long data:refs must have been idle
-- RETURNS  DISOWN; OK if there was nothing to release, and data:refs is removed; nil if the container exists, or
--          data:refs is not that old
-- ERRORS   none

-- @include lib/codes
-- @include lib/refs_fields
-- @include lib/allow_oom
local data = KEYS[1]
local seconds = ARGV[1]

local refs = data .. ':refs'
if redis.call('EXISTS', data) == 1 or redis.call('PTTL', refs) ~= -1 then return false end
local idle = redis.pcall('OBJECT', 'IDLETIME', refs) -- an error where the server counts uses instead
if type(idle) ~= 'number' or idle < tonumber(seconds) then return false end
allow_oom(refs)
local code = OK
for _, field in ipairs(redis.call('HKEYS', refs)) do
  if string.sub(field, 1, 2) == COUNT then
    redis.call('HSET', refs, field, '0')
    code = DISOWN
  end
end
if code == OK then redis.call('UNLINK', refs) end
return code
