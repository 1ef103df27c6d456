-- lib/stored_bytes: the first bytes that say something about a stored value; lib/stored and lib/delivery read them.

local LINKED = 64 -- '@<ident>,<ident>;' of unnamed objects stands in front
local STAMPED = 35 -- '#<epoch>,<ident>,<ident>;': the same as it is sent, see lib/refs; it is stored without the epoch
local DELIVERED = 42 -- '*<n>;' stands in front of an item that was delivered n times
