-- hold/recover: give back what lies at places and is not known to their session. Idempotent.
--
-- Requests with an unknown outcome may have moved it there.
--
-- KEYS
--   data               hash  TYPE, FENCE, HOLDER, RELEASED
--   data:free          list  the elements that are free
--   data:refs          hash  the sessions that hold something
--   data:held:<place>  list  what a session holds
-- ARGV
--   places...  bytes  of each place its name, how many elements its session knows of, and how many of those it knows to
--                     have been released by others
-- RETURNS  how many elements went back
-- ERRORS   none
-- WAKES    as many waiters as elements are given back

-- @include lib/trim_place
-- @include lib/forget_place
-- @include lib/allow_oom
-- @include lib/ttl
local data = KEYS[1]

allow_oom(data .. ':refs')
-- It may have been deleted, and something of another type may have its name.
local exists, given = redis.pcall('HEXISTS', data, TYPE) == 1, 0
for i = 1, #ARGV, 3 do
  local place = data .. ':held:' .. ARGV[i]
  if exists then
    local _, back = trim_place(data, ARGV[i], ARGV[i + 1], ARGV[i + 2])
    given = given + back
    if ARGV[i + 1] == '0' then forget_place(data, ARGV[i]) end
  else
    -- The mark that the deletion left passes on to others that wait.
    if redis.call('LINDEX', place, '-1') == '' then
      redis.call('LPUSH', data .. ':free', '')
      redis.call('PEXPIRE', data .. ':free', BRIEF_TTL)
    end
    redis.call('DEL', place)
  end
end
local count = not exists and redis.pcall('HLEN', data)
if type(count) == 'number' and count > 0 and count < 1000 then
  -- A take found no object, and left a token and a holder. Something of another type has other fields.
  for _, field in ipairs(redis.call('HKEYS', data)) do
    if field ~= FENCE and string.sub(field, 1, 2) ~= HOLDER then return 0 end
  end
  if #(redis.call('HGET', data, FENCE) or '') < 10 then redis.call('DEL', data) end
end
return given
