-- queue/create: create a queue, or attach to the one of that name.
--
-- KEYS
--   record  string  last request of the caller
--   names   hash    the names of the partition
--   data    hash    'n' -> most items, 0 = any number; 'o' -> order: 'f' first in first out, 'l' last in first out,
--                   'p' by priority; 'r' -> how often an item is delivered at most that is not done, 0 = once and for
--                   all, -1 = as often as it takes; 'u' -> unfinished items; 'x' -> it was shut down
--   data:index      any   what another object of that name left, as all that follow
--   data:spelled    any
--   data:refs       any
--   data:owners     any
--   data:items      any
--   data:dead       any
--   data:flight:<flight> any
-- ARGV
--   request  int    number of the request
--   name     bytes  '' = unnamed
--   kind     bytes  protocol, type and parameters
--   lease    int    milliseconds, for an unnamed queue
--   most     int    most items
--   order    bytes  as above
--   again    int    how often an item is delivered, as above
-- RETURNS  '.' created, '=' and the kind of what exists
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/create
-- @include lib/keys
local record, names, data = KEYS[1], KEYS[2], KEYS[3]
local request, name, kind, lease, most, order, again = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local done = cached_reply(record, request)
if done then return done[1] end
local existing = existing(names, data, name)
if existing then return save_reply(record, request, existing) end
if name ~= '' then
  local keys, refs = keys_of(data)
  for _, key in ipairs(keys) do
    if key ~= data .. ':refs' then redis.call('UNLINK', key) end
  end
  -- What another one let go and nobody has disowned yet stays noted, and epochs go on rising.
  for i = 1, #refs, 2 do
    if string.sub(refs[i], 1, 2) == 'f:' then redis.call('HDEL', data .. ':refs', refs[i]) end
  end
end
redis.call('HSET', data, 'n', most, 'o', order, 'r', again, 'u', '0')
register(names, name, kind, lease, {data})
return save_reply(record, request, '.')
