-- object/recount: count what a kept object contains once more, while it comes to own that anew.
--
-- KEYS
--   record     string  last request of the caller
--   data       any     the object
--   data:refs  hash    unnamed objects it contains
-- ARGV
--   request  int  number of the request
-- RETURNS  '.', or ',' and an epoch and what it contains, separated by commas
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/contained
local record, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(record, request)
if done then return done[1] end
if redis.call('PTTL', data) ~= -1 then return save_reply(record, request, '.') end
local refs = data .. ':refs'
local contained = contained_in(refs)
if #contained == 0 then return save_reply(record, request, '.') end
local taken = redis.call('HINCRBY', refs, '', 1)
for _, ident in ipairs(contained) do
  redis.call('HINCRBY', refs, 'n:' .. ident, 1)
  redis.call('HSET', refs, 'e:' .. ident, taken)
end
return save_reply(record, request, ',' .. taken .. ',' .. table.concat(contained, ','))
