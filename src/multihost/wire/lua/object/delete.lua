-- object/delete: remove an object and its name. What it contained is left to the collector, if it has lost its lease.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   names                      hash    names of the partition
--   data                       any     the object
--   data:index                 zset    its order
--   data:originals             hash    its original keys or members
--   data:refs                  hash    the sessions that have places, or in-flight lists
--   data:contains              hash    how often it contains unnamed objects
--   data:given                 hash    how often it was given to processes that have not let go of it
--   data:items                 any     items of a queue
--   data:dead                  list    dead letters of a queue
--   data:inflight:<in_flight>  list    items that a consumer has in flight
--   data:free                  list    free elements of a lock or a semaphore
--   data:held:<place>          list    what a session holds
--   data:tokens                list    wake-up tokens of waiters: TYPE names the lists
--   data:tokens:<list>         list    the same
--   partition:epoch            hash    the epochs of the partition
--   partition:cut              zset    when a container without a lease let go of an object
--   partition:tops             set     named objects that contain unnamed ones
--   partition:kept             zset    objects without a lease
--   partition:lists            hash    the sessions that have places, or in-flight lists
--   partition:held             zset    until when they are held
--   partition:partial          set     objects without a lease of which some contents may have one
--   partition:u:<data>         any     what it let go of, if that is very much
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
-- RETURNS  OK or CUT; nil if there was none
-- ERRORS   none
-- WAKES    all waiters: their next step reports GONE

-- @include lib/reply_cache
-- @include lib/object_fields
-- @include lib/keys
-- @include lib/refs
-- @include lib/note_lists
-- @include lib/strike
-- @include lib/wake
local reply_cache, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local listed = 0
if name ~= '' then listed = redis.call('HDEL', names, name) end
if redis.call('EXISTS', data) == 0 and listed == 0 then
  -- @include lib/save_error
  return save_nil(reply_cache, request)
end
local keys, refs = keys_of(data)
local code = references(data).remove_all()
strike(partition_of(data), string.match(data, '}:(.*)$'))
-- For each <field>=<list>, and each field of that name, or of that prefix if it ends with a colon, a token is pushed
-- onto the list; '*' stands for the value of the field.
local kind = redis.pcall('HGET', data, TYPE)
local lists, fields, tokens = {}, {}, {}
if type(kind) == 'string' and string.find(kind, '=', 1, true) then
  for field, list in string.gmatch(kind, '(%S+)=(%S+)') do lists[field] = list end
  fields = redis.call('HGETALL', data)
end
for _, key in ipairs(keys) do redis.call('UNLINK', key) end
for _, list in pairs(lists) do redis.call('UNLINK', data .. ':' .. list) end
for i = 1, #fields, 2 do
  local list = lists[string.match(fields[i], '^[^:]*:?')]
  if list then
    local key = data .. ':' .. string.gsub(list, '%*', fields[i + 1])
    tokens[key] = (tokens[key] or 0) + 1
  end
end
local is_waited_for = false
for key, count in pairs(tokens) do
  is_waited_for = true
  redis.call('UNLINK', key)
  wake(key, count)
  redis.call('PEXPIRE', key, BRIEF_TTL) -- for waiters that were about to block
end
if not is_waited_for then forget_lists(data, refs) end -- a waiter may end with the token in its list: collect/places
return save_reply(reply_cache, request, code)
