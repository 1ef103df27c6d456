-- lib/barrier_fields: the fields of a barrier.

local PARTIES = 'n' -- how many parties wait for each other
local GENERATION = 'g' -- the generation that is filling, from the millisecond of the creation, times 1000, on
local ARRIVED = 'c' -- how many parties of it have arrived
local STATE = 's' -- '' or 'broken'
local ACTION = 'a' -- the encoded callable; '' = none
local ACTING = 'x' -- the generation whose action is running
local UNNOTIFIED = 'l:' -- <generation> that has ended -> how many parties have not claimed its outcome
local WAITER = 'q:' -- <session>.<thread> of a party that waits or runs the action -> its generation
