-- queue/check_joined: whether nothing is unfinished. May be repeated.
--
-- KEYS
--   data  hash  'u' -> unfinished items
-- ARGV
-- RETURNS  '.'; nil if something is unfinished
-- ERRORS   GONE

local data = KEYS[1]

local unfinished = redis.call('HGET', data, 'u')
if not unfinished then
  -- @include lib/save_error
  return redis.error_reply(object_gone('queue'))
end
return unfinished == '0' and '.' or false
