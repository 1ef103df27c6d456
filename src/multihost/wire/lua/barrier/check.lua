-- barrier/check: see that a wait still makes sense. May be repeated.
--
-- A BRPOPLPUSH of data:tokens:<g> and barrier/claim follow.
--
-- KEYS
--   data  hash  'n' -> parties
-- ARGV
-- RETURNS  '.'
-- ERRORS   GONE

local data = KEYS[1]

if redis.call('HEXISTS', data, 'n') == 0 then
  -- @include lib/save_error
  return redis.error_reply(object_gone('barrier'))
end
return '.'
