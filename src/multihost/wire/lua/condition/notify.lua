-- condition/notify: wake some of those who wait, the oldest first. O(generations), of which there is one as a rule.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'g' -> generation, 'o' -> oldest one; 'c:<g>' -> how many wait; 'n:<g>' -> notifications
--   data:tokens:<g>  list    hints for who waits
-- ARGV
--   request  int  number of the request
--   count    int  how many
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    as many

-- @include lib/once
-- @include lib/sleepers
-- @include lib/wake
local record, data = KEYS[1], KEYS[2]
local request, count = ARGV[1], ARGV[2]

local done = answered(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'g', 'o')
if not state[1] then
  -- @include lib/refuse
  return refuse(record, request, gone('condition'))
end
count = tonumber(count)
local last, oldest = tonumber(state[1]), tonumber(state[2] or 0)
for generation = oldest, last do
  local waiting = count_of(data, 'c', generation)
  if waiting > 0 then
    local notified = count_of(data, 'n', generation)
    local woken = math.min(count, waiting - notified)
    if woken > 0 then
      redis.call('HDEL', data, 'n:' .. generation) -- a full server accepts what follows a deletion
      redis.call('HSET', data, 'n:' .. generation, notified + woken)
      wake(data .. ':tokens:' .. generation, woken)
      count = count - woken
    end
  elseif generation == oldest and generation < last then
    oldest = generation + 1
    redis.call('HSET', data, 'o', oldest)
  end
end
return answer(record, request, '.')
