-- semaphore/count: only count the elements at a place, where there were too many. Idempotent.
--
-- A session that only acquires, as a consumer of signals does, would have ever longer lists.
--
-- KEYS
--   data               hash  TYPE, TALLY
--   data:held:<place>  list  what the session holds
-- ARGV
--   session  bytes  of the holder
--   place    bytes  <session>.<number>
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/hold_fields
-- @include lib/allow_oom
local data = KEYS[1]
local session, place = ARGV[1], ARGV[2]

allow_oom(data)
local key = data .. ':held:' .. place
local there = redis.call('LLEN', key)
redis.call('DEL', key)
if there > 0 and redis.call('HEXISTS', data, TYPE) == 1 then redis.call('HINCRBY', data, TALLY .. session, there) end
return false
