-- lock/force_release: end the hold of a lock, whichever holder has it.
--
-- A process that exited without a release leaves that to others: one release may follow, until the lock is taken again.
--
-- KEYS
--   reply_cache        string  last request of the connection and its reply
--   data               hash    TYPE, FENCE, UNRELEASED, RELEASED
--   data:free          list    its element, while it is free
--   data:refs          hash    CONSUMER, BURIED
--   data:held:<place>  list    its element, while it is held
-- ARGV
--   request  int  number of the request
-- RETURNS  OK; nil if no hold has the lock
-- ERRORS   GONE
-- WAKES    one waiter

-- @include lib/reply_cache
-- @include lib/save_error
-- @include lib/hold_fields
-- @include lib/places
-- @include lib/give_back
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, TYPE, FENCE, UNRELEASED)
if not state[1] then return save_error(reply_cache, request, object_gone('lock')) end
if redis.call('EXISTS', data .. ':free') == 1 then
  if state[3] ~= state[2] then return save_nil(reply_cache, request) end
  redis.call('HDEL', data, UNRELEASED)
  return save_reply(reply_cache, request, OK)
end
local refs = redis.call('HGETALL', data .. ':refs')
for i = 1, #refs, 2 do
  local kind, session = string.sub(refs[i], 1, 2), string.sub(refs[i], 3)
  if kind == CONSUMER or kind == BURIED then
    for _, place in ipairs(used_places(data, places_of(session, refs[i + 1]))) do
      allow_oom(data)
      give_back(data, data .. ':held:' .. place, 1)
      redis.call('HINCRBY', data, RELEASED .. place, '1')
      return save_reply(reply_cache, request, OK)
    end
  end
end
return save_nil(reply_cache, request)
