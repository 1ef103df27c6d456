-- object/drop: remove unnamed objects that have a lease. Idempotent. O(objects), at most 200 a call, of one partition.
--
-- KEYS
--   data...                       any   the objects
--   data...:index                 zset  their order
--   data...:originals             hash  their original keys or members
--   data...:refs                  hash  the sessions that have places
--   data...:contains              hash  how often they contain unnamed objects
--   data...:given                 hash  how often it was given to processes that have not let go of it
--   data...:items                 any   items of a queue
--   data...:dead                  list  dead letters of a queue
--   data...:inflight:<in_flight>  list  items that a consumer has in flight
--   data...:free                  list  free elements of a lock or a semaphore
--   data...:held:<place>          list  what a session holds
--   partition:lists               hash  the sessions that have places at unnamed objects
-- ARGV
-- RETURNS  idents of what they contained; of what contained very much nothing
-- ERRORS   none

-- @include lib/keys
-- @include lib/partition
-- @include lib/contents
-- @include lib/note_lists
-- @include lib/passed_keys
local partition = partition_of(KEYS[1])
local answer = {}
for i = 1, passed do
  local data = KEYS[i]
  if redis.call('PTTL', data) >= 0 then
    local contained = few_contents(partition, string.sub(data, #partition + 1)) or {}
    for _, ident in ipairs(contained) do answer[#answer + 1] = ident end
    local keys, refs = keys_of(data)
    for _, key in ipairs(keys) do redis.call('UNLINK', key) end
    forget_lists(data, refs)
  end
end
return answer
