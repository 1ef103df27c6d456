-- lock/force_release: end the hold of a lock, whichever holder has it.
--
-- A process that exited without a release leaves that to others: one release may follow, until the lock is taken again.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data         hash    HOLDER, FENCE, WAITERS, UNRELEASED
--   data:tokens  list    wake-up tokens of waiters
-- ARGV
--   request  int  number of the request
-- RETURNS  OK; nil if no hold has the lock
-- ERRORS   GONE
-- WAKES    one waiter

-- @include lib/reply_cache
-- @include lib/save_error
-- @include lib/lock_fields
-- @include lib/hand_off
local reply_cache, data = KEYS[1], KEYS[2]
local request = ARGV[1]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, HOLDER, WAITERS, FENCE, UNRELEASED)
if not state[3] then return save_error(reply_cache, request, object_gone('lock')) end
if not state[1] and state[4] == state[3] then
  redis.call('HDEL', data, UNRELEASED)
  return save_reply(reply_cache, request, OK)
end
if not state[1] or state[1] == '' then return save_nil(reply_cache, request) end
hand_off(data, state[2])
return save_reply(reply_cache, request, OK)
