-- object/recount: count what a persistent object contains once more, while it comes to own that again.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         any     the object
--   data:refs    hash    references to unnamed objects
-- ARGV
--   request  int  number of the request
-- RETURNS  OK if it contains nothing; else CONTENTS
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/refs_fields
-- @include lib/contained
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('PTTL', data) ~= -1 then return save_reply(reply_cache, request, OK) end
local refs = data .. ':refs'
local contained = contained_in(refs)
if #contained == 0 then return save_reply(reply_cache, request, OK) end
local epoch = redis.call('HINCRBY', refs, LAST_EPOCH, 1)
for _, ident in ipairs(contained) do
  redis.call('HINCRBY', refs, COUNT .. ident, 1)
  redis.call('HSET', refs, EPOCH .. ident, epoch)
end
return save_reply(reply_cache, request, CONTENTS .. epoch .. ',' .. table.concat(contained, ','))
