-- hold/take: take an element that is free, on a full server, which refuses plain commands. Idempotent.
--
-- It is for those that waited when the server was not full yet. It only moves what there is.
--
-- KEYS
--   data               hash    FENCE, HOLDER
--   data:free          list    the elements that are free
--   data:refs          hash    CONSUMER
--   data:held:<place>  list    what the session holds
--   sessions           prefix  of the session keys
--   sessions:<id>      string  session info of one, while it is alive
-- ARGV
--   session  bytes  of the holder
--   place    bytes  <session>.<number>
--   count    int    how many elements lie there
--   holder   bytes  <thread>.<time>; '' = it is not noted
-- RETURNS  the element, nil if none is free; what hold/token returns; whether the session is alive, and registered
-- ERRORS   none

-- @include lib/draw_fence
-- @include lib/refs_fields
-- @include lib/allow_oom
local data, sessions = KEYS[1], KEYS[2]
local session, place, count, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

allow_oom(data .. ':refs')
local key = data .. ':held:' .. place
local element = redis.call('LINDEX', key, count) or redis.call('LMOVE', data .. ':free', key, 'LEFT', 'RIGHT')
local token = draw_fence(data)
if element and holder ~= '' then redis.call('HSET', data, HOLDER .. place, holder) end
local alive = redis.call('EXISTS', sessions .. ':' .. session)
return {element, token, alive, redis.call('HEXISTS', data .. ':refs', CONSUMER .. session)}
