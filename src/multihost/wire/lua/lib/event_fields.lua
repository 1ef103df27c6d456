-- lib/event_fields: the fields of an event.

local STATE = 's' -- '1' = set, '0' = not set
local TIMES_SET = 'n' -- a number that grows when it is set: by that, waiters know whether it was set since
local BEFORE = 'b' -- the number before that
