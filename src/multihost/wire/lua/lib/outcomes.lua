-- lib/outcomes: what a reply cache holds behind the number of a request. Nothing stands for the reply OK.

local REPLY = '+' -- and the reply
local NIL = '-'
local ERROR = '!' -- and its text
