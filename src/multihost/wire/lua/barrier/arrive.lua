-- barrier/arrive: join those who wait for each other.
--
-- KEYS
--   record           string  last request of the caller
--   data             hash    'n' -> parties; 'g' -> generation; 'c' -> arrived; 's' -> state; 'a' -> action;
--                            'x' -> the generation that runs its action; 'q:<waiter>' -> its generation
--   data:tokens:<g>  list    what became of a generation
-- ARGV
--   request  int    number of the request
--   waiter   bytes  session and thread
-- RETURNS  'broken'; else generation ',' place ',' and 'wait', 'pass', or 'act,' and the action for the one who runs it
-- ERRORS   GONE
-- WAKES    all parties, if this is the last one and there is no action

-- @include lib/reply_cache
-- @include lib/barrier_generation
local record, data = KEYS[1], KEYS[2]
local request, waiter = ARGV[1], ARGV[2]

local done = cached_reply(record, request)
if done then return done[1] end
local state = redis.call('HMGET', data, 'n', 'g', 'c', 's', 'a')
local parties, generation, arrived = tonumber(state[1]), state[2], tonumber(state[3])
if not parties then
  -- @include lib/save_error
  return save_error(record, request, object_gone('barrier'))
end
if state[4] ~= '' then return save_reply(record, request, 'broken') end
local place = generation .. ',' .. arrived .. ','
arrived = arrived + 1
if arrived < parties then
  redis.call('HSET', data, 'c', arrived, 'q:' .. waiter, generation)
  return save_reply(record, request, place .. 'wait')
end
redis.call('HSET', data, 'c', '0', 'g', generation + 1)
if state[5] ~= '' then
  redis.call('HSET', data, 'x', generation, 'q:' .. waiter, generation)
  return save_reply(record, request, place .. 'act,' .. state[5])
end
if parties > 1 then finish_generation(data, generation, parties - 1, 'open') end
return save_reply(record, request, place .. 'pass')
