-- barrier/check: check that there is something to wait for. Idempotent.
--
-- A BRPOPLPUSH of data:tokens:<g> and barrier/claim follow. Without an outcome the former would block even if the
-- generation has ended: the server has forgotten how.
--
-- KEYS
--   data             hash  GENERATION, ACTING
--   data:tokens:<g>  list  outcome of a generation
-- ARGV
--   generation  int  of the party
-- RETURNS  OK
-- ERRORS   GONE
-- WAKES    all parties, if their generation has ended

-- @include lib/codes
-- @include lib/barrier_fields
-- @include lib/ttl
local data = KEYS[1]
local generation = ARGV[1]

local state = redis.call('HMGET', data, GENERATION, ACTING)
if not state[1] then
  -- @include lib/save_error
  return redis.error_reply(object_gone('barrier'))
end
local tokens = data .. ':tokens:' .. generation
if state[1] ~= generation and state[2] ~= generation and redis.call('EXISTS', tokens) == 0 then
  -- @include lib/allow_oom
  allow_oom(data)
  redis.call('RPUSH', tokens, BROKEN)
  redis.call('PEXPIRE', tokens, TTL)
end
return OK
