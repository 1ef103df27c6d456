-- host/reap_clients: end the conversations of dead clients. May be repeated.
--
-- Over the conversations of the host, every eighth time.
--
-- KEYS
--   data           hash    's' -> its session
--   data:talks   set     its conversations, '<session>.<n>'
--   data:a:<talk>  list    what it is told in one of them
--   data:b:<talk>  list    what it answered
--   sessions       prefix  of the sessions
--   sessions:<id>  string  one of them
-- ARGV
--   before  bytes  '' as the last look found
--   prune   int    1 = look for dead clients
-- RETURNS  1, '', then the session of each client that lives and what it says of itself; nil if there is no host
-- ERRORS   none
-- WAKES    what waits for a dead client to speak

-- @include lib/live_sessions
local data, sessions = KEYS[1], KEYS[2]
local before, prune = ARGV[1], ARGV[2]

if redis.call('EXISTS', data) == 0 then return false end
local seen = live_sessions(sessions)
if prune == '1' then
  for _, talk in ipairs(redis.call('SMEMBERS', data .. ':talks')) do
    if not seen.note(talk) then
      redis.call('SREM', data .. ':talks', talk)
      redis.call('DEL', data .. ':a:' .. talk, data .. ':b:' .. talk)
      redis.call('LPUSH', data .. ':a:' .. talk, '.')
      redis.call('PEXPIRE', data .. ':a:' .. talk, '60000')
    end
  end
end
return seen.append_to({1, before})
