-- object/contents: a piece of what an object contains. Idempotent. O(1000).
--
-- What it contained from the first piece to the last is told; what came or went meanwhile may be.
--
-- KEYS
--   data           any   the object
--   data:contains  hash  how often it contains unnamed objects
-- ARGV
--   cursor  int  where to go on; 0 = at the start
-- RETURNS  where to go on, 0 = that was all; then idents
-- ERRORS   none

local data = KEYS[1]
local cursor = ARGV[1]

local page = redis.call('HSCAN', data .. ':contains', cursor, 'COUNT', 500)
local answer = {page[1]}
for i = 1, #page[2], 2 do answer[#answer + 1] = page[2][i] end
return answer
