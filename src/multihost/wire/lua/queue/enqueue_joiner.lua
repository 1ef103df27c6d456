-- queue/enqueue_joiner: wait until nothing is unfinished; a BRPOPLPUSH and queue/check_joined follow. May be repeated.
--
-- KEYS
--   data              hash  'u' -> unfinished items; 'j' -> somebody joins
--   data:tokens:join  list  one token for those who join, while nothing is unfinished
-- ARGV
-- RETURNS  '.'
-- ERRORS   GONE
-- WAKES    who joins, if nothing is unfinished

-- @include lib/count_done
local data = KEYS[1]

redis.call('HDEL', data, '') -- a full server accepts what follows a deletion, of nothing too
local unfinished = redis.call('HGET', data, 'u')
if not unfinished then
  -- @include lib/save_error
  -- @include lib/wake
  wake(data .. ':tokens:join', 1)
  redis.call('PEXPIRE', data .. ':tokens:join', '1000')
  return redis.error_reply(object_gone('queue'))
end
redis.call('HSET', data, 'j', '1')
if unfinished == '0' then
  count_done(data, 0, 0, true)
else
  redis.call('DEL', data .. ':tokens:join')
end
return '.'
