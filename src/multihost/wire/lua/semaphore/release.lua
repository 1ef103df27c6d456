-- semaphore/release: release more permits than lie at one place of a session, or add new ones.
--
-- Others lose those that it does not have: none comes back twice. For a process that exited others may release as many.
--
-- KEYS
--   reply_cache        string  last request of the connection and its reply
--   data               hash    TYPE, INITIAL_VALUE, RESERVE, UNRELEASED, TALLY, RELEASED
--   data:free          list    the elements that are free
--   data:refs          hash    CONSUMER, BURIED
--   data:held:<place>  list    what a session holds
-- ARGV
--   request    int    number of the request
--   session    bytes  of the holder
--   amount     int    how many, at least 1
--   bounded    int    1 = never more than the initial value
--   places...  bytes  of each place of the session its name, how many elements it knows of there, and how many of those
--                     it knows to have been released by others
-- RETURNS  OK; NOT_HELD; EXCEEDED
-- ERRORS   GONE
-- WAKES    as many waiters as there are permits

-- @include lib/reply_cache
-- @include lib/save_error
-- @include lib/places
-- @include lib/give_back
-- @include lib/set_free
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, session, amount, bounded = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
amount = tonumber(amount)
local state = redis.call('HMGET', data, TYPE, INITIAL_VALUE, UNRELEASED)
if not state[1] then return save_error(reply_cache, request, object_gone('semaphore')) end
for i = 5, #ARGV, 3 do
  local released = (tonumber(redis.call('HGET', data, RELEASED .. ARGV[i])) or 0) - tonumber(ARGV[i + 2])
  local there = redis.call('LLEN', data .. ':held:' .. ARGV[i])
  if there + math.max(released, 0) < tonumber(ARGV[i + 1]) then return save_reply(reply_cache, request, NOT_HELD) end
end
if bounded == '1' and count_free(data) + amount > (tonumber(state[2]) or 0) then
  local unreleased = tonumber(state[3]) or 0
  if unreleased < amount then return save_reply(reply_cache, request, EXCEEDED) end
  if redis.call('HINCRBY', data, UNRELEASED, -amount) == 0 then redis.call('HDEL', data, UNRELEASED) end
  return save_reply(reply_cache, request, OK)
end
allow_oom(data)
local missing, wanted = amount, amount
for i = 5, #ARGV, 3 do
  local own = math.min(tonumber(ARGV[i + 1]), wanted)
  local given = give_back(data, data .. ':held:' .. ARGV[i], own)
  -- Those were released by others before.
  if given < own then redis.call('HINCRBY', data, RELEASED .. ARGV[i], given - own) end
  missing, wanted = missing - given, wanted - own
end

local function release_counted(of)
  local back = math.min(tonumber(redis.call('HGET', data, TALLY .. of)) or 0, missing)
  if back <= 0 then return end
  if redis.call('HINCRBY', data, TALLY .. of, -back) == 0 then redis.call('HDEL', data, TALLY .. of) end
  set_free(data, back)
  missing = missing - back
end
release_counted(session)
local refs = missing > 0 and redis.call('HGETALL', data .. ':refs') or {}
for i = 1, #refs, 2 do
  local other = string.sub(refs[i], 3)
  if string.sub(refs[i], 1, 2) == CONSUMER and missing > 0 then
    for _, place in ipairs(used_places(data, places_of(other, refs[i + 1]))) do
      local taken = missing > 0 and give_back(data, data .. ':held:' .. place, missing) or 0
      if taken > 0 then redis.call('HINCRBY', data, RELEASED .. place, taken) end
      missing = missing - taken
    end
    release_counted(other)
  end
end
if missing > 0 then set_free(data, missing) end
return save_reply(reply_cache, request, OK)
