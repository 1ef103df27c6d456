-- lib/semaphore_fields: the fields of a semaphore.

local FREE_PERMITS = 'v' -- how many permits are free
local INITIAL_VALUE = 'n' -- how many there were at first
local FENCE = 'f' -- the last fencing token
local WAITERS = 'w' -- how many wait
local WAITER = 'q:' -- <session>.<thread> of a waiter -> its session
local PERMITS = 'p:' -- <session> -> how many permits it has
local UNRELEASED = 'o' -- how many permits came back because their process exited without a release
