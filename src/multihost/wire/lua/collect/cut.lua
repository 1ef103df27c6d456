-- collect/cut: what containers let go since a time, a piece at a time. Idempotent. O(500).
--
-- KEYS
--   names            hash  names of the partition, which says which one it is
--   partition:cut    zset  when a container let go of an object
--   partition:epoch  hash  EPOCH
-- ARGV
--   epoch   int  of this collection
--   since   int  milliseconds
--   cursor  int  where to go on; 0 = at the start
-- RETURNS  where to go on, 0 = that was all; the time of the last entry; then idents; nil if another collection has
--          begun
-- ERRORS   none

-- @include lib/partition
-- @include lib/epoch_fields
local names = KEYS[1]
local epoch, since, cursor = ARGV[1], ARGV[2], ARGV[3]

local partition = partition_of(names)
if redis.call('HGET', partition .. 'epoch', EPOCH) ~= epoch then return false end
local page = redis.call('ZSCAN', partition .. 'cut', cursor, 'COUNT', 500)
local last = redis.call('ZREVRANGE', partition .. 'cut', 0, 0, 'WITHSCORES')[2] or since
local answer = {page[1], tonumber(last)}
for i = 1, #page[2], 2 do
  if tonumber(page[2][i + 1]) >= tonumber(since) then answer[#answer + 1] = page[2][i] end
end
return answer
