-- barrier/finish_action: the action is done, let the others pass.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'n' -> parties; 'x' -> the generation that runs its action; 'q:<waiter>' -> its generation
--   data:tokens:<g>  list    what became of a generation
-- ARGV
--   request     int    number of the request
--   waiter      bytes  session and thread
--   generation  int    whose action is done
-- RETURNS  'open', or 'broken' if the barrier was broken meanwhile
-- ERRORS   GONE
-- WAKES    all other parties

-- @include lib/reply_cache
-- @include lib/barrier_generation
local record, data = KEYS[1], KEYS[2]
local request, waiter, generation = ARGV[1], ARGV[2], ARGV[3]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'n', 'x')
if not state[1] then
  -- @include lib/save_error
  return save_error(record, request, object_gone('barrier'))
end
redis.call('HDEL', data, 'q:' .. waiter)
if state[2] ~= generation then return save_reply(record, request, 'broken') end
redis.call('HDEL', data, 'x')
if state[1] ~= '1' then finish_generation(data, generation, state[1] - 1, 'open') end
return save_reply(record, request, 'open')
