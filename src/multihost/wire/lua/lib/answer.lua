-- lib/answer: replace the answer of a claimed request.

local function answer(record, request, reply)
  redis.call('SET', record, request .. '+' .. reply, 'PX', '60000')
  return reply
end
