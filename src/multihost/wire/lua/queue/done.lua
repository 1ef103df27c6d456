-- queue/done: acknowledge an item: it is finished.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   data                       hash    ORDER, CREATED, UNFINISHED, JOINED, DONE
--   data:inflight:<in_flight>  list    the item, if it would be delivered again
--   data:contains              hash    how often it contains unnamed objects
--   data:tokens:join           list    one token for processes in join(), while nothing is unfinished
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
-- ARGV
--   request    int    number of the request
--   in_flight  bytes  name of the in-flight list; '' = the item is in none
--   session    bytes  name of the session that counts such calls, see queue/settle; '' = none
-- RETURNS  OK or CUT, for an item in no list OK and CREATED; NOT_HELD; nil if nothing is unfinished
-- ERRORS   GONE
-- WAKES    processes in join(), if nothing is unfinished any more

-- @include lib/reply_cache
-- @include lib/queue_fields
-- @include lib/count_done
-- @include lib/allow_oom
local reply_cache, data = KEYS[1], KEYS[2]
local request, in_flight, session = ARGV[1], ARGV[2], ARGV[3]

allow_oom(data)
local done = cached_reply(reply_cache, request)
if done then return done[1] end
local state = redis.call('HMGET', data, UNFINISHED, JOINED, ORDER, CREATED)
if not state[1] then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('queue'))
end
local code = OK
if in_flight ~= '' then
  local item = redis.call('LPOP', data .. ':inflight:' .. in_flight)
  if not item then return save_reply(reply_cache, request, NOT_HELD) end
  -- @include lib/rank
  -- @include lib/stored
  local value = value_of(item, state[3] == PRIORITY)
  if is_linked(value) then
    -- @include lib/refs
    code = references(data).remove(value)
  end
elseif tonumber(state[1]) <= 0 then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
elseif session ~= '' then
  redis.call('HINCRBY', data, DONE .. session, '1')
  code = OK .. (state[4] or '')
end
if tonumber(state[1]) > 0 then count_done(data, state[1], 1, state[2]) end
return save_reply(reply_cache, request, code)
