-- lib/refs_fields: the fields of data:refs.

local COUNT = 'n:' -- <ident> of an unnamed object -> how many references to it the container holds
local EPOCH = 'e:' -- <ident> -> the epoch in which the persistent container last took it in
local LAST_EPOCH = '' -- the last epoch
local RELEASED_IN = 'd' -- the epoch in which the container itself was released last
local CONSUMER = 'f:' -- <session> -> how many places it may use: data:held:<session>.<n>; of a queue in-flight lists
local BURIED = 'x:' -- <session> of a dead one -> '<places> <second>': how many it had, and when it was found dead
