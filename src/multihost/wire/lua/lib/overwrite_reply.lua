-- lib/overwrite_reply: replace the reply of a request that was reserved. See lib/reserve_reply.

-- @include lib/outcomes
-- @include lib/ttl
local function save_reply(reply_cache, request, reply)
  redis.call('SET', reply_cache, request .. REPLY .. reply, 'PX', TTL)
  return reply
end
