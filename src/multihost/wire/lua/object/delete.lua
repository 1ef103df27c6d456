-- object/delete: remove an object and its name. What it owned stays counted until it was disowned.
--
-- KEYS
--   record   string  last request of the caller
--   names    hash    the names of the partition
--   data     any     the object
--   data:index zset    its order
--   data:spelled hash    its first spellings
--   data:refs hash    unnamed objects contained
--   data:owners hash    kept containers that contain it
--   data:tokens list    hints for who waits for it
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
-- RETURNS  '.' or '!' (objects were let go); nil if there was none
-- ERRORS   none
-- WAKES    who waits for a lock or a semaphore, to learn that it is gone

-- @include lib/once
-- @include lib/refs
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name = ARGV[1], ARGV[2]

local done = answered(record, request)
if done then return done[1] end
local listed = 0
if name ~= '' then listed = redis.call('HDEL', names, name) end
if redis.call('EXISTS', data) == 0 and listed == 0 then
  -- @include lib/refuse
  return nothing(record, request)
end
local flag = references(data).let_all_go()
local waiters = redis.pcall('HGET', data, 'w')
redis.call('UNLINK', data, data .. ':index', data .. ':spelled', data .. ':owners', data .. ':tokens')
if type(waiters) == 'string' and waiters ~= '0' then
  -- @include lib/wake
  wake(data .. ':tokens', tonumber(waiters))
end
if flag == '.' then redis.call('UNLINK', data .. ':refs') end
return answer(record, request, flag)
