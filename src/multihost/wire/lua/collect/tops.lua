-- collect/tops: what named objects contain, a piece at a time. Idempotent. O(1000).
--
-- KEYS
--   names               hash  names of the partition, which says which one it is
--   partition:tops      set   named objects that contain unnamed ones: those that do not any more leave it
--   partition:n:<data>  any   the objects
-- ARGV
--   cursor  int  where to go on; 0 = at the start
-- RETURNS  where to go on, 0 = that was all; then for each object itself and what it contains, or '+' if the client has
--          to ask (object/contents)
-- ERRORS   none

-- @include lib/partition
-- @include lib/contents
local names = KEYS[1]
local cursor = ARGV[1]

local partition = partition_of(names)
local page = redis.call('SSCAN', partition .. 'tops', cursor, 'COUNT', 10)
local answer = {page[1]}
for _, ident in ipairs(page[2]) do
  -- Without its data another program has removed it: what is left counts for nothing.
  if redis.call('EXISTS', partition .. ident) == 0 then redis.call('UNLINK', partition .. ident .. ':contains') end
  if redis.call('EXISTS', partition .. ident .. ':contains') == 0 then
    redis.call('SREM', partition .. 'tops', ident)
  else
    local told = few_contents(partition, ident) or {'+'}
    table.insert(told, 1, ident)
    answer[#answer + 1] = told
  end
end
return answer
