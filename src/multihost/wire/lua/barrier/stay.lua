-- barrier/stay: see that a wait still makes sense. May be repeated.
--
-- A BRPOPLPUSH of data:tokens:<g> and barrier/passed follow.
--
-- KEYS
--   data  hash  'n' -> parties
-- ARGV
-- RETURNS  '.'
-- ERRORS   GONE

local data = KEYS[1]

if redis.call('HEXISTS', data, 'n') == 0 then
  -- @include lib/refuse
  return redis.error_reply(gone('barrier'))
end
return '.'
