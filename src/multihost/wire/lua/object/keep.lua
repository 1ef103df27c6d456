-- object/keep: take the lease from unnamed objects, since a container without a lease is about to contain them.
-- Idempotent. O(objects), at most 100 a call, all of one partition.
--
-- From then on the collector alone removes them, or a deletion. One that contains others is partial, until those are
-- kept as well (object/whole).
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
--   partition:kept                zset  their colour becomes grey, or black
--   partition:held                zset  until when the caller, or who else has them, holds them
--   partition:partial             set   those that contain something
--   partition:epoch               hash  EPOCH, SETTLED
-- ARGV
--   want   int  an epoch that the caller was told; 0 = none
--   lease  int  milliseconds
-- RETURNS  the epoch; then of each object nil if it does not exist, '-' if it is as good as removed, else a list: what
--          it contains that may have a lease; or '+' if the client has to ask (object/contents)
-- ERRORS   none

-- @include lib/keys
-- @include lib/partition
-- @include lib/colours
-- @include lib/contents
-- @include lib/stamps
-- @include lib/passed_keys
local want, lease = ARGV[1], ARGV[2]

local partition = partition_of(KEYS[1])
local epoch, settled = epoch_of(partition)
local stamp, time = math.max(least_epoch(partition), tonumber(want)), now()
local answer = {stamp}
for i = 1, passed do
  local data = KEYS[i]
  local ident, ttl = string.sub(data, #partition + 1), redis.call('PTTL', data)
  if ttl == -2 then
    answer[#answer + 1] = false
  elseif is_lost(partition, ident, epoch, settled) then
    answer[#answer + 1] = '-'
  else
    local has_contents = redis.call('EXISTS', data .. ':contains') == 1
    if stamp == epoch then
      mark(partition, ident, epoch, false)
    else -- until that epoch has begun here it takes in what is marked in this one: grey, though it may be empty
      redis.call('ZADD', partition .. 'kept', 'GT', digits(2 * stamp), ident)
    end
    redis.call('ZADD', partition .. 'held', 'GT', digits(time + math.max(ttl, tonumber(lease))), ident)
    if ttl >= 0 then
      for _, key in ipairs((keys_of(data))) do redis.call('PERSIST', key) end
      if has_contents then redis.call('SADD', partition .. 'partial', ident) end
    end
    local contained = {}
    if has_contents and redis.call('SISMEMBER', partition .. 'partial', ident) == 1 then
      contained = few_contents(partition, ident) or {'+'}
    end
    answer[#answer + 1] = contained
  end
end
return answer
