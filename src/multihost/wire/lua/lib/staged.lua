-- lib/staged: goes in front of a script whose arguments were sent ahead, in chunks, to the list KEYS[1]:args.
--
-- Only the first execution takes them from there; a repeat finds the cached reply, as in lib/reply_cache. If a chunk
-- was lost, or arrived twice, the client sends all of them again.

-- @include lib/codes
-- @include lib/errors
local sent, request = ARGV[1], ARGV[2]
local ARGV = redis.call('LRANGE', KEYS[1] .. ':args', '0', '-1')
if #ARGV ~= tonumber(sent) then
  local last = redis.call('GET', KEYS[1]) or ''
  if last == request then return OK end
  if string.sub(last, 1, 12) == request then return string.sub(last, 14) end
  return redis.error_reply(STAGED)
end
redis.call('UNLINK', KEYS[1] .. ':args')
