-- lib/queue_fields: the fields of a queue, and of a pool, which is one.

local MAXSIZE = 'n' -- most items; 0 = any number
local ORDER = 'o' -- FIFO, LIFO or PRIORITY
local CREATED = 'c' -- when it was created, in microseconds: another queue of that name has another time
local DELIVERIES = 'r' -- how often an unfinished item is delivered at most; 0 = once, finished or not; -1 = any number
local UNFINISHED = 'u' -- how many items are unfinished
local SHUT_DOWN = 'x' -- '1' = no more items are accepted
local JOINED = 'j' -- '1' = a process may wait in join()
local PUTTERS = 'w' -- how many wait for room
local PUTTER = 'q:' -- <session>.<thread> of one of them -> '1'
local GETTERS = 'gw' -- how many wait for an item of a priority queue
local GETTER = 'g:' -- <session>.<thread> of one of them -> '1'
local DONE = 'd:' -- <session> -> how often it called task_done() for items that are not delivered again
local KIND = 'k' -- NUMBERS, TUPLES or OTHERS: kind of the items of a priority queue
local LAST_NUMBER = 'i' -- number of the item that was put last into a priority queue

-- Values of ORDER
local FIFO = 'f' -- first in, first out
local LIFO = 'l' -- last in, first out
local PRIORITY = 'p' -- sorted

-- Values of KIND
local NUMBERS = 'n' -- numbers, sorted by value
local TUPLES = 't' -- tuples that start with a number, sorted by that
local OTHERS = 'o' -- others, sorted by the client
