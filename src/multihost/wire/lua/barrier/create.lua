-- barrier/create: create a barrier, or attach to the one of that name.
--
-- KEYS
--   reply_cache      string  last request of the connection and its reply
--   names            hash    names of the partition
--   data             hash    PARTIES, GENERATION, ARRIVED, STATE, ACTION
--   data:contains    hash    how often it contains unnamed objects in the action
--   partition:epoch  hash    the epochs of the partition
--   partition:cut    zset    when a container without a lease let go of an object
--   partition:tops   set     named objects that contain unnamed ones
--   partition:kept   zset    objects without a lease
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  TYPE of the object, a line feed, then protocol, codec, type and parameters for the names
--   lease    int    milliseconds, for an unnamed object
--   parties  int    how many
--   action   bytes  encoded callable; '' = none
-- RETURNS  OK if it was created; EXISTS and the kind of the one that exists
-- ERRORS   KEEP

-- @include lib/create
-- @include lib/barrier_fields
-- @include lib/first_fence
-- @include lib/linked_content
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, parties, action = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local content = {action}
local refusal = take_content(data, name, content, 1, 1)
local done = begin_create(reply_cache, request, names, name, {data, data .. ':contains'}, refusal)
if done then return done[1] end
local generation = string.sub(first_fencing_token(), 1, -4) .. '000'
redis.call('HSET', data, PARTIES, parties, GENERATION, generation, ARRIVED, '0', STATE, '', ACTION, content[1])
register(names, name, kind, lease, {data})
count_content(data, content, 1, 1)
return save_reply(reply_cache, request, OK)
