-- lib/save_error: an outcome without effect.

local function object_gone(kind)
  return 'GONE the ' .. kind .. ' does not exist'
end

-- An error. A full server may refuse the record of it, and does not lose the error.
local function save_error(record, request, text)
  redis.pcall('SET', record, request .. '!' .. text, 'PX', '60000')
  return redis.error_reply(text)
end

-- No answer: there is no such key, no such index, another value.
local function save_nil(record, request)
  redis.pcall('SET', record, request .. '-', 'PX', '60000')
  return false
end
