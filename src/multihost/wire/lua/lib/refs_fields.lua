-- lib/refs_fields: the fields of data:refs.

local CONSUMER = 'f:' -- <session> -> how many places it may use: data:held:<session>.<n>; of a queue in-flight lists
local BURIED = 'x:' -- <session> of a dead one -> '<places> <second>': how many it had, and when it was found dead
