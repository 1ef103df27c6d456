-- lib/save_error: outcomes without effect. A full server may refuse to store one: the error is returned all the same.

-- @include lib/outcomes
-- @include lib/ttl
local function object_gone(kind)
  return 'GONE the ' .. kind .. ' does not exist'
end

local function save_error(reply_cache, request, text)
  redis.pcall('SET', reply_cache, request .. ERROR .. text, 'PX', TTL)
  return redis.error_reply(text)
end

-- No reply: there is no such key, no such index, another value. The header of the script says which.
local function save_nil(reply_cache, request)
  redis.pcall('SET', reply_cache, request .. NIL, 'PX', TTL)
  return false
end
