-- lib/stored_bytes: the first bytes that say something about a stored value; lib/stored and lib/delivery read them.

local UNCOUNTED = 64 -- '@<ident>,<ident>;' of unnamed objects stands in front, of which the references must be counted
local COUNTED = 35 -- '#' the same, but they were counted before the value was stored
local DELIVERED = 42 -- '*<n>;' stands in front of an item that was delivered n times
