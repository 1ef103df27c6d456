-- lib/count_done: so many items of a queue are done. Wakes who joins it when none is left.

local function count_done(data, unfinished, count, joined)
  redis.call('HSET', data, 'u', string.format('%.0f', unfinished - count))
  if joined and unfinished - count == 0 then
    redis.call('DEL', data .. ':tokens:join')
    redis.call('RPUSH', data .. ':tokens:join', '')
    redis.call('PEXPIRE', data .. ':tokens:join', '60000')
  end
end
