-- collect/turn: ask whether this process may collect. Idempotent. O(log processes).
--
-- It notes, too, how long the process may be silent, and whether the namespace has anything for a collector. Whoever is not
-- to collect does as little as possible: of them there are as many as processes.
--
-- KEYS
--   collector         string  the session whose turn it is; it expires
--   partition:leases  zset    length of a lease -> until when there may be a process with such a one; 'candidates' ->
--                             until when there may be something to collect, inf = until a collector says otherwise
-- ARGV
--   session     bytes  of this process
--   lease       int    milliseconds
--   period      int    milliseconds for which nobody else may; 0 = not asked for
--   force       int    1 = also if somebody else may
--   candidates  bytes  'kept' = there are objects without a lease; 'lists' = places, or in-flight lists, which this process
--                      may leave; 'none' = it has just seen that nothing is kept; '' = it does not know
-- RETURNS  1 if it is the turn of this process, else 0; the longest lease of all processes, 0 if that was not looked up;
--          2 if there are candidates, 1 if there may be some
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
local collector = KEYS[1]
local session, lease, period, force, candidates = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local partition, time = partition_of(collector), now()
local leases = partition .. 'leases'
redis.call('ZREMRANGEBYSCORE', leases, '-inf', '(' .. digits(time))
local last = tonumber(redis.call('ZSCORE', leases, 'candidates') or 0)
local is_ours = 0
if force == '1' then
  redis.call('SET', collector, session, 'PX', period)
  is_ours = 1
elseif period ~= '0' then
  is_ours = redis.call('SET', collector, session, 'NX', 'PX', period) and 1 or 0
  local is_said = candidates == 'lists' and last > time + lease or candidates == 'kept' and last == math.huge
  if is_ours == 0 and (is_said or candidates == '' or candidates == 'none') then
    local noted = redis.call('ZSCORE', leases, lease)
    if noted and tonumber(noted) > time + lease then return {0, 0, 0} end
  end
end
redis.call('ZADD', leases, 'GT', digits(time + 2 * lease), lease)
local longest = tonumber(lease)
for _, other in ipairs(redis.call('ZRANGE', leases, 0, -1)) do longest = math.max(longest, tonumber(other) or 0) end
local for_now = time + math.max(7200000, 20 * lease)
if candidates == 'kept' then last = math.huge end
if candidates == 'lists' then last = math.max(last, for_now) end
if candidates == 'none' and last == math.huge then last = for_now end
if last > 0 then redis.call('ZADD', leases, digits(last), 'candidates') end
if last == math.huge then
  redis.call('PERSIST', leases)
  return {is_ours, longest, 2}
end
redis.call('PEXPIRE', leases, digits(math.max(2 * longest, last - time)))
return {is_ours, longest, last > 0 and 1 or 0}
