-- lib/epoch_fields: the epochs of a partition. They never fall.

local EPOCH = 'e' -- number of the collection that began here last
local SETTLED = 's' -- the same number, once everything that is in use is marked
local SWEPT = 'd' -- number of the last one that came to its end here

local FORGOTTEN = 3600000 -- milliseconds: half of the time for which a partition without objects knows its epoch
