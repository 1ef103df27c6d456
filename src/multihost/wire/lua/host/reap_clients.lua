-- host/reap_clients: close the RPC channels of dead clients. Idempotent. O(channels of the host), every eighth time.
--
-- KEYS
--   data                hash    's' -> its session
--   data:channels       set     RPC channels, '<session>.<n>'
--   data:req:<channel>  list    requests
--   data:res:<channel>  list    responses
--   sessions            prefix  of the session keys
--   sessions:<id>       hash    record of one, while it is alive
-- ARGV
--   previous       bytes  NOT USED: all reap scripts have the same arguments
--   check_waiters  int    1 = check for dead clients
--   looker         bytes  NOT USED: all reap scripts have the same arguments
-- RETURNS  1, the state, then session and record of each client that is alive; nil if there is no host
-- ERRORS   none
-- WAKES    threads of the host that wait for a request of a dead client

-- @include lib/ttl
-- @include lib/frames
-- @include lib/live_sessions
local data, sessions = KEYS[1], KEYS[2]
local previous, check_waiters, looker = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', data) == 0 then return false end
local seen = live_sessions(sessions)
if check_waiters == '1' then
  for _, channel in ipairs(redis.call('SMEMBERS', data .. ':channels')) do
    if not seen.info(channel) then
      redis.call('SREM', data .. ':channels', channel)
      redis.call('DEL', data .. ':req:' .. channel, data .. ':res:' .. channel)
      redis.call('LPUSH', data .. ':req:' .. channel, CLOSE)
      redis.call('PEXPIRE', data .. ':req:' .. channel, TTL)
    end
  end
end
return seen.append_to({1, previous})
