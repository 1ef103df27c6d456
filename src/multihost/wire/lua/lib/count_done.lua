-- lib/count_done: count items of a queue as finished. Wake the processes in join() when none is unfinished.

-- @include lib/ttl
-- @include lib/queue_fields
local function count_done(data, unfinished, count, joined)
  redis.call('HSET', data, UNFINISHED, string.format('%.0f', unfinished - count))
  if joined and unfinished - count == 0 then
    redis.call('DEL', data .. ':tokens:join')
    redis.call('RPUSH', data .. ':tokens:join', '')
    redis.call('PEXPIRE', data .. ':tokens:join', TTL)
  end
end
