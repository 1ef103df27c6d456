-- pool/withdraw: take back a task that no worker has received yet, or find out whether it is one. O(waiting tasks).
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   data             hash    UNFINISHED
--   data:items       list    tasks
--   data:contains    hash    how often it contains unnamed objects
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request  int    number of the request
--   trailer  bytes  the last 64 bytes of the task
--   take     int    1 = take it out of the pool
-- RETURNS  OK or CUT; nil if the task does not wait, or a worker that died had begun it
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/task
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, trailer, take = ARGV[1], ARGV[2], ARGV[3]

allow_oom(data)
local done = cached_reply(reply_cache, request)
if done then return done[1] end
if redis.call('EXISTS', data) == 0 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('pool'))
end
local items = data .. ':items'
for first = 0, redis.call('LLEN', items) - 1, 100 do -- in pages: tasks may be large
  for _, item in ipairs(redis.call('LRANGE', items, first, first + 99)) do
    if string.sub(item, -64) == trailer and string.byte(item) ~= DELIVERED then
      if take == '0' then return save_reply(reply_cache, request, OK) end
      redis.call('LREM', items, 1, item)
      return save_reply(reply_cache, request, release_task(data, item))
    end
  end
end
-- @include lib/save_error
return save_nil(reply_cache, request)
