-- lib/condition_fields: the fields of a condition, beside those of its own lock.

local GENERATION = 'g' -- the generation that new waiters belong to
local OLDEST = 'o' -- the oldest generation that may have waiters
local FENCE = 'f' -- the last fencing token of its own lock
local WAITERS = 'c:' -- <generation> -> how many wait
local NOTIFICATIONS = 'n:' -- <generation> -> how many of those are notified, and have not claimed it
local REACH = 'r:' -- <generation> -> the last generation that waited when its last notification was sent
local WAITER = 'z:' -- <session>.<thread> of a waiter -> its generation
local NOTIFIED = 'y:' -- <session>.<thread> of one that claimed its notification, until it has the lock again -> REACH
