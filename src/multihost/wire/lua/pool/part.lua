-- pool/part: return a part of the result of a task that is not done yet.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   data                       hash    UNFINISHED
--   clients                    prefix  of the clients
--   clients:<id>               any     result queue of a client, with :items and :contains
--   data:inflight:<in_flight>  list    the task of the worker
--   data:contains              hash    how often it contains unnamed objects
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
-- ARGV
--   request    int    number of the request
--   in_flight  bytes  name of the in-flight list of the worker
--   trailer    bytes  the last 64 bytes of the task
--   part       bytes  of its result
-- RETURNS  OK; nil if the task is not in flight to the worker any more, or its client has closed
-- ERRORS   none
-- WAKES    the client

-- @include lib/reply_cache
-- @include lib/task
-- @include lib/allow_oom
local reply_cache, data, clients = KEYS[1], KEYS[2], KEYS[3]
local request, in_flight, trailer, part = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

allow_oom(data)
local done = cached_reply(reply_cache, request)
if done then return done[1] end
local task = redis.call('LINDEX', data .. ':inflight:' .. in_flight, 0)
local client = task and string.sub(task, -64) == trailer and result_queue_of(clients, trailer)
if not client then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
put_result(client, part)
return save_reply(reply_cache, request, OK)
