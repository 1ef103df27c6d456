-- lib/lock_fields: the fields of a lock.

local HOLDER = 'h' -- the hold that has it: session, thread and time; '' while it is handed off; no field: it is free
local FENCE = 'f' -- the last fencing token
local WAITERS = 'w' -- how many wait
local WAITER = 'q:' -- <session>.<thread> of a waiter -> the hold that is to be, and GRANTED if the lock was free
local UNRELEASED = 'o' -- the fencing token of a hold whose process exited without a release

-- Values
local GRANTED = '+' -- stands behind the hold of a WAITER
