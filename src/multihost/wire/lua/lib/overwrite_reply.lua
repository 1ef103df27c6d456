-- lib/overwrite_reply: replace the answer of a claimed request.

local function save_reply(record, request, reply)
  redis.call('SET', record, request .. '+' .. reply, 'PX', '60000')
  return reply
end
