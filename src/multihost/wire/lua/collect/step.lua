-- collect/step: blacken objects whose contents are marked, mark others, and tell what some grey ones contain.
-- Idempotent. O(objects).
--
-- KEYS
--   names               hash  names of the partition, which says which one it is
--   partition:kept      zset  objects without a lease
--   partition:epoch     hash  EPOCH
--   partition:u:<data>  any   the objects
-- ARGV
--   epoch      int    of this collection
--   most       int    how many grey objects to tell of
--   black      int    how many of the following to blacken; the others to mark
--   idents...  bytes  those
-- RETURNS  nil if another collection has begun; else for each grey object itself and what it contains, or '+' if the
--          client has to ask (object/contents)
-- ERRORS   none

-- @include lib/partition
-- @include lib/colours
-- @include lib/contents
-- @include lib/allow_oom
local names = KEYS[1]
local epoch, most, black = ARGV[1], ARGV[2], ARGV[3]

local partition = partition_of(names)
local kept, grey = partition .. 'kept', 2 * epoch
if redis.call('HGET', partition .. 'epoch', EPOCH) ~= epoch then return false end
allow_oom(partition .. 'epoch')
for i = 4, 3 + black do
  if tonumber(redis.call('ZSCORE', kept, ARGV[i]) or 0) == grey then
    redis.call('ZADD', kept, 'XX', 'GT', digits(grey + 1), ARGV[i])
  end
end
for i = 4 + black, #ARGV do mark(partition, ARGV[i], epoch, true) end
local answer = {}
for _, ident in ipairs(redis.call('ZRANGEBYSCORE', kept, digits(grey), digits(grey), 'LIMIT', 0, most)) do
  local told = few_contents(partition, ident) or {'+'}
  table.insert(told, 1, ident)
  answer[#answer + 1] = told
end
return answer
