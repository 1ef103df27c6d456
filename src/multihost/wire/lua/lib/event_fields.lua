-- lib/event_fields: the fields of an event.

local STATE = 's' -- '1' = set, '0' = not set
local TIMES_SET = 'n' -- how often it was set
