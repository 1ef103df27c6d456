-- queue/enqueue_joiner: wait until nothing is unfinished. Idempotent.
--
-- A BRPOPLPUSH of data:tokens:join and queue/check_joined follow.
--
-- KEYS
--   data              hash  UNFINISHED, JOINED
--   data:tokens:join  list  one token for processes in join(), while nothing is unfinished
-- ARGV
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    processes in join(), if nothing is unfinished

-- @include lib/codes
-- @include lib/queue_fields
-- @include lib/count_done
-- @include lib/allow_oom
local data = KEYS[1]

allow_oom(data)
local unfinished = redis.call('HGET', data, UNFINISHED)
if not unfinished then
  -- @include lib/save_error
  -- @include lib/wake
  wake(data .. ':tokens:join', 1)
  redis.call('PEXPIRE', data .. ':tokens:join', BRIEF_TTL)
  return redis.error_reply(object_gone('queue'))
end
redis.call('HSET', data, JOINED, '1')
if unfinished == '0' then
  count_done(data, 0, 0, true)
else
  redis.call('DEL', data .. ':tokens:join')
end
return OK
