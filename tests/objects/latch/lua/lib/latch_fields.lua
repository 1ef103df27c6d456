-- lib/latch_fields: the fields of a latch.

local REMAINING = 'n' -- how often it is still to be counted down
local WAITER = 'q:' -- <session>.<thread> of a waiter -> '1'
