-- lib/ttl: milliseconds until what belongs to no object expires.

-- Cached replies, wake-up tokens and frames of RPC channels: longer than any client repeats a request. It is the same
-- as REPLY_CACHE_SECONDS in wire/keys.py.
local TTL = '60000'

-- Wake-up tokens for waiters of an object that does not exist: only for those that are blocked already.
local BRIEF_TTL = '1000'
