-- server/transaction: run one command for each key, all at one moment. Idempotent. O(commands).
--
-- It is for a full server, which refuses MULTI.
--
-- KEYS
--   data...  any  the key of each command, its first argument
-- ARGV
--   commands...  bytes  of each command the number of its further arguments, its name, and those
-- RETURNS  the reply to each
-- ERRORS   none

-- @include lib/passed_keys
local replies, at = {}, 1
for i = 1, passed do
  local last = at + 1 + tonumber(ARGV[at])
  replies[i] = redis.call(ARGV[at + 1], KEYS[i], unpack(ARGV, at + 2, last))
  at = last + 1
end
return replies
