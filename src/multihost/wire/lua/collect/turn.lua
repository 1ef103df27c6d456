-- collect/turn: note how long this process may be silent, and ask whether it may collect. Idempotent. O(log processes).
--
-- KEYS
--   collector         string  the session whose turn it is; it expires
--   partition:leases  zset    length of a lease -> until when there may be a process with such a one
-- ARGV
--   session  bytes  of this process
--   lease    int    milliseconds
--   period   int    milliseconds for which nobody else may; 0 = not asked for
--   force    int    1 = also if somebody else may
-- RETURNS  1 if it is the turn of this process, else 0; the longest lease of all processes
-- ERRORS   none

-- @include lib/partition
-- @include lib/clock
local collector = KEYS[1]
local session, lease, period, force = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local partition, time = partition_of(collector), now()
local leases = partition .. 'leases'
redis.call('ZREMRANGEBYSCORE', leases, '-inf', '(' .. digits(time))
redis.call('ZADD', leases, 'GT', digits(time + 2 * lease), lease)
local longest = tonumber(lease)
for _, other in ipairs(redis.call('ZRANGE', leases, 0, -1)) do longest = math.max(longest, tonumber(other) or 0) end
redis.call('PEXPIRE', leases, digits(2 * longest))
if period == '0' then return {0, longest} end
if force == '1' then
  redis.call('SET', collector, session, 'PX', period)
  return {1, longest}
end
return {redis.call('SET', collector, session, 'NX', 'PX', period) and 1 or 0, longest}
