-- object/delete: remove an object and its name. What it owned stays counted until it was disowned.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   names                      hash    names of the partition
--   data                       any     the object
--   data:index                 zset    its order
--   data:originals             hash    its original keys or members
--   data:refs                  hash    references to unnamed objects
--   data:owners                hash    owner -> epoch
--   data:items                 any     items of a queue
--   data:dead                  list    dead letters of a queue
--   data:inflight:<in_flight>  list    items that a consumer has in flight
--   data:tokens                list    wake-up tokens of waiters
--   data:tokens:<g>            list    the same
--   data:tokens:get            list    the same
--   data:tokens:join           list    the same
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
-- RETURNS  OK or DISOWN; nil if there was none
-- ERRORS   none
-- WAKES    all waiters, which find that the object is deleted

-- @include lib/reply_cache
-- @include lib/keys
-- @include lib/refs
-- @include lib/wake
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local listed = 0
if name ~= '' then listed = redis.call('HDEL', names, name) end
if redis.call('EXISTS', data) == 0 and listed == 0 then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local keys, refs = keys_of(data)
local code = references(data).remove_all()
-- A lock or a semaphore counts who waits; a condition and a barrier do so for each generation; an event does not.
local waited = redis.pcall('HMGET', data, 'w', 'g', 'c', 's', 'n', 'o', 'gw')
local generation = waited[2]
local sleepers = waited[3] or generation and redis.call('HGET', data, 'c:' .. generation)
for _, key in ipairs(keys) do
  if key ~= data .. ':refs' then redis.call('UNLINK', key) end
end
redis.call('UNLINK', data .. ':tokens')
if waited[1] then wake(data .. ':tokens', tonumber(waited[1])) end
if sleepers then wake(data .. ':tokens:' .. generation, tonumber(sleepers)) end
if waited[4] and waited[5] and not generation then
  local tokens = data .. ':tokens:' .. waited[5]
  wake(tokens, 1)
  redis.call('PEXPIRE', tokens, BRIEF_TTL)
end
if waited[6] then -- a queue: its consumers are blocked on the items themselves, or on hints
  if waited[6] ~= 'p' then
    redis.call('RPUSH', data .. ':items', '')
    redis.call('PEXPIRE', data .. ':items', BRIEF_TTL)
  end
  wake(data .. ':tokens:get', tonumber(waited[7] or 0))
  wake(data .. ':tokens:join', 1)
  redis.call('PEXPIRE', data .. ':tokens:join', BRIEF_TTL)
end
if code == OK then
  redis.call('UNLINK', data .. ':refs')
else
  for i = 1, #refs, 2 do
    if string.sub(refs[i], 1, 2) == 'f:' then redis.call('HDEL', data .. ':refs', refs[i]) end
  end
end
return save_reply(reply_cache, request, code)
