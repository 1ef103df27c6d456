-- hold/release_at_exit: give back what a session holds whose process exits without a release. Idempotent.
--
-- KEYS
--   data               hash  TYPE, FENCE, INITIAL_VALUE, RESERVE, UNRELEASED, TALLY, HOLDER, RELEASED
--   data:free          list  the elements that are free
--   data:refs          hash  CONSUMER, BURIED
--   data:held:<place>  list  what the session holds
--   partition:lists    hash  the sessions that have places, or in-flight lists
-- ARGV
--   session  bytes  session that exits
--   back     int    1 = its elements come back; 0 = they stay taken, as permits that were used as signals
--   is_late  int    1 = something may still arrive at its places
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    as many waiters as elements come back

-- @include lib/places
-- @include lib/note_lists
-- @include lib/give_back
-- @include lib/inherit_ttl
-- @include lib/set_free
-- @include lib/forget_place
-- @include lib/former_places
-- @include lib/allow_oom
local data = KEYS[1]
local session, back, is_late = ARGV[1], ARGV[2], ARGV[3]

local refs = data .. ':refs'
local count = redis.call('HGET', refs, CONSUMER .. session)
if not count or redis.call('HEXISTS', data, TYPE) == 0 then return false end
allow_oom(data)
local held = tonumber(redis.call('HGET', data, TALLY .. session)) or 0
redis.call('HDEL', data, TALLY .. session)
if back == '1' then set_free(data, held) end
local places = places_of(session, count)
for _, place in ipairs(used_places(data, places)) do
  local key = data .. ':held:' .. place
  if back == '1' then held = held + give_back(data, key) end
  redis.call('DEL', key)
end
for _, place in ipairs(places) do forget_place(data, place) end
redis.call('HDEL', refs, CONSUMER .. session)
inherit_ttl(data, data .. ':free') -- what was released before came back without a lease, and nothing else tells of that
forget_list(data, session)
if is_late == '1' then set_tombstone(data, session, #places) end
if held == 0 or back == '0' then return false end
if redis.call('HEXISTS', data, INITIAL_VALUE) == 1 then
  redis.call('HINCRBY', data, UNRELEASED, held)
else
  redis.call('HSET', data, UNRELEASED, redis.call('HGET', data, FENCE))
end
return false
