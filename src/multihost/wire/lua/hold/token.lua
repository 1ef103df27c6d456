-- hold/token: draw the fencing token of an element that was moved just before this, in the same write. Idempotent.
--
-- A second time it draws another one: those grow, and need not be consecutive.
--
-- KEYS
--   data  hash  FENCE
-- ARGV
-- RETURNS  the token, and the one before it; 0 and 0 if there is no such object
-- ERRORS   none

-- @include lib/draw_fence
local data = KEYS[1]

return draw_fence(data)
