-- object/renew: hold objects for another lease. Idempotent. O(objects), at most 200 a call, all of one partition.
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
--   partition:kept                zset  the colour of those without a lease: white ones become grey
--   partition:held                zset  until when those are held
--   partition:partial             set   those of which some contents may have a lease
--   partition:epoch               hash  EPOCH, SETTLED
-- ARGV
--   lease  int  milliseconds
-- RETURNS  idents of what they contain that may have a lease; of one that contains very much its own, behind a '+';
--          of one that does not exist, or is as good as removed, its own behind a '-'
-- ERRORS   none

-- @include lib/keys
-- @include lib/partition
-- @include lib/colours
-- @include lib/contents
-- @include lib/passed_keys
local lease = ARGV[1]

local partition = partition_of(KEYS[1])
local epoch, settled, until_then
local answer = {}
for i = 1, passed do
  local data = KEYS[i]
  local ttl, ident, below, lost = redis.call('PTTL', data), string.sub(data, #partition + 1), false, false
  if ttl >= 0 then
    below = true
    for _, key in ipairs((keys_of(data))) do redis.call('PEXPIRE', key, math.max(ttl, tonumber(lease))) end
  elseif ttl == -1 then
    if not epoch then
      epoch, settled = epoch_of(partition)
      until_then = digits(now() + lease)
      redis.call('ZREM', partition .. 'held', '') -- see lib/allow_oom
    end
    lost = is_lost(partition, ident, epoch, settled)
    if not lost and redis.call('ZSCORE', partition .. 'kept', ident) then
      redis.call('ZADD', partition .. 'held', 'GT', until_then, ident)
      mark(partition, ident, epoch, true)
      below = redis.call('SISMEMBER', partition .. 'partial', ident) == 1
    end
    for _, key in ipairs((keys_of(data))) do -- what its consumers have in flight stays as well
      if string.find(key, ':inflight:', 1, true) then redis.call('PERSIST', key) end
    end
  end
  if lost or ttl == -2 then answer[#answer + 1] = '-' .. ident end
  if below then
    for _, contained in ipairs(few_contents(partition, ident) or {'+' .. ident}) do answer[#answer + 1] = contained end
  end
end
return answer
