-- collect/turn: ask whether this process may collect. Idempotent. O(log processes).
--
-- It notes, too, how long the process may be silent, and whether anything is kept in the namespace. Whoever is not to
-- collect does as little as possible: of them there are as many as processes.
--
-- KEYS
--   collector         string  the session whose turn it is; it expires
--   partition:leases  zset    length of a lease -> until when there may be a process with such a one; 'kept' -> inf:
--                             there are objects without a lease
-- ARGV
--   session  bytes  of this process
--   lease    int    milliseconds
--   period   int    milliseconds for which nobody else may; 0 = not asked for
--   force    int    1 = also if somebody else may
--   kept     bytes  'kept' = there are objects without a lease; 'none' = it has just seen that there are none; '' = it
--                   does not know
-- RETURNS  1 if it is the turn of this process, else 0; the longest lease of all processes, 0 if that was not read;
--          1 if there are objects without a lease, as somebody has said, else 0
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
local collector = KEYS[1]
local session, lease, period, force, kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local partition, time = partition_of(collector), now()
local leases = partition .. 'leases'
redis.call('ZREMRANGEBYSCORE', leases, '-inf', '(' .. digits(time))
local is_ours = 0
if force == '1' then
  redis.call('SET', collector, session, 'PX', period)
  is_ours = 1
elseif period ~= '0' then
  is_ours = redis.call('SET', collector, session, 'NX', 'PX', period) and 1 or 0
  if is_ours == 0 and (kept ~= 'kept' or redis.call('ZSCORE', leases, 'kept')) then
    local noted = redis.call('ZSCORE', leases, lease)
    if noted and tonumber(noted) > time + lease then return {0, 0, 0} end
  end
end
redis.call('ZADD', leases, 'GT', digits(time + 2 * lease), lease)
local longest = tonumber(lease)
for _, other in ipairs(redis.call('ZRANGE', leases, 0, -1)) do longest = math.max(longest, tonumber(other) or 0) end
if kept == 'kept' then redis.call('ZADD', leases, 'inf', 'kept') end
if kept == 'none' then redis.call('ZREM', leases, 'kept') end
if redis.call('ZSCORE', leases, 'kept') then
  redis.call('PERSIST', leases)
  return {is_ours, longest, 1}
end
redis.call('PEXPIRE', leases, digits(2 * longest))
return {is_ours, longest, 0}
