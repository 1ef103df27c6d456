-- lib/hold_fields: the fields of a lock, a semaphore, and the own lock of a condition.

local TYPE = 't' -- its type, as of every object
local FENCE = 'f' -- the last fencing token
local INITIAL_VALUE = 'i' -- of a semaphore: how many elements there were at first; a lock has one
local RESERVE = 'v' -- of a semaphore: how many free elements are counted here, and not in data:free
local UNRELEASED = 'u' -- what came back because its process exited: of a lock the fencing token, else how many
local WAITER = 'q:' -- <session>.<thread> of a waiter, if it waits for long
local HOLDER = 'h:' -- <place> of a lock -> <thread>.<time> of the attempt for which it was used last
local TALLY = 'k:' -- <session> -> how many elements it has that are counted here, and lie at none of its places
local RELEASED = '-:' -- <place> -> how many elements of it others have released
