-- host/unregister: a host ends: who waits for its answers is told. May be repeated. Over its conversations.
--
-- KEYS
--   data           hash  's' -> its session
--   data:talks   set   its conversations
--   data:left      set   what clients let go
--   data:tokens    list  hints for it
--   data:b:<talk>  list  what it answered in one of them
-- ARGV
-- RETURNS  nothing
-- ERRORS   none
-- WAKES    who waits for an answer

local data = KEYS[1]

local talks = redis.call('SMEMBERS', data .. ':talks')
redis.call('UNLINK', data, data .. ':talks', data .. ':left', data .. ':tokens')
for _, talk in ipairs(talks) do
  redis.call('LPUSH', data .. ':b:' .. talk, '!')
  redis.call('PEXPIRE', data .. ':b:' .. talk, '60000')
end
return false
