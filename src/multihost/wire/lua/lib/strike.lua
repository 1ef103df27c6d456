-- lib/strike: remove what is noted of an object that is removed.

local function strike(partition, ident)
  redis.call('ZREM', partition .. 'kept', ident)
  redis.call('ZREM', partition .. 'held', ident)
  redis.call('SREM', partition .. 'partial', ident)
  redis.call('SREM', partition .. 'tops', ident)
end
