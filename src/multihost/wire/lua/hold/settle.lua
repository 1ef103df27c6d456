-- hold/settle: settle a lock or a semaphore with a session, after the server may have gone back. Idempotent.
--
-- What lies at places of the session and is not known to it goes back: its releases were undone. What is known to it
-- and is not there is lost: its grant was undone, or others released it.
--
-- KEYS
--   data               hash  TYPE, FENCE, RESERVE, TALLY, HOLDER, RELEASED
--   data:free          list  the elements that are free
--   data:refs          hash  CONSUMER, BURIED
--   data:held:<place>  list  what a session holds
--   partition:lists    hash  the sessions that have places, or in-flight lists
-- ARGV
--   session    bytes  its name
--   places     int    how many places it may use; 0 = it has lapsed, or does not use any
--   last       int    the last fencing token that was handed out to it
--   counted    int    how many elements it knows of that lie at no place
--   counting   bytes  place whose elements are being counted only; '' = none
--   kept...    bytes  of each place where it holds something its name, how many elements it knows of there, how many
--                     of those it knows that others have released
-- RETURNS  how many are missing of those that are only counted, and of each place; nil if there is no such object
-- ERRORS   none
-- WAKES    as many waiters as elements are given back

-- @include lib/places
-- @include lib/trim_place
-- @include lib/set_free
-- @include lib/forget_place
-- @include lib/lift_fence
-- @include lib/register_places
-- @include lib/allow_oom
local data = KEYS[1]
local session, places, last, counted, counting = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local state = redis.call('HMGET', data, TYPE, FENCE, TALLY .. session)
if not state[1] then return false end
allow_oom(data)
lift_fence(data, FENCE, state[2], last)
if places ~= '0' then register_places(data, session, places) end
local surplus, missing, kept = (tonumber(state[3]) or 0) - tonumber(counted), {}, {}
for i = 6, #ARGV, 3 do
  kept[ARGV[i]] = true
  local short = trim_place(data, ARGV[i], ARGV[i + 1], ARGV[i + 2])
  if ARGV[i] == counting and surplus > 0 then -- the outcome of that is not known yet
    short, surplus = math.max(short - surplus, 0), math.max(surplus - short, 0)
  end
  missing[#missing + 1] = short
end
if surplus > 0 then
  if redis.call('HINCRBY', data, TALLY .. session, -surplus) <= 0 then redis.call('HDEL', data, TALLY .. session) end
  set_free(data, surplus)
end
table.insert(missing, 1, math.max(-surplus, 0))
local refs, sid = redis.call('HGETALL', data .. ':refs'), string.match(session, '^[^~]*')
for i = 1, #refs, 2 do
  local kind, name = string.sub(refs[i], 1, 2), string.sub(refs[i], 3)
  if (kind == CONSUMER or kind == BURIED) and string.match(name, '^[^~]*') == sid then
    for _, place in ipairs(used_places(data, places_of(name, refs[i + 1]))) do
      if not kept[place] then
        trim_place(data, place, 0, 0)
        forget_place(data, place)
      end
    end
  end
end
return missing
