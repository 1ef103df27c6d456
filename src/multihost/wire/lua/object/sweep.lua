-- object/sweep: remove what is left of an object that is not there. May be repeated.
--
-- Whoever makes an object of that name begins with all of this anew. What expires by itself is left to that: it may
-- be the mark that a deleted queue leaves for who waits.
--
-- KEYS
--   names                 hash    the names of the partition
--   data                  any     the object
--   data:index            zset    its order
--   data:spelled          hash    its first spellings
--   data:owners           hash    kept containers that contained it
--   data:items            any     those of a queue
--   data:dead             list    its dead letters
--   data:flight:<flight>  list    what a consumer took out of it
--   sessions              prefix  of the sessions
--   sessions:<id>         string  one of them
-- ARGV
--   name        bytes  '' = unnamed
--   kind        bytes  what the names say of it; '' = leave them alone
--   flights...  bytes  places of consumers
-- RETURNS  how many names and keys were removed
-- ERRORS   none

local names, data, sessions = KEYS[1], KEYS[2], KEYS[3]
local name, kind = ARGV[1], ARGV[2]

if redis.call('EXISTS', data) == 1 then return 0 end
local removed = 0
if kind ~= '' and redis.call('HGET', names, name) == kind then removed = redis.call('HDEL', names, name) end
local function remove(key)
  if redis.call('PTTL', key) == -1 then removed = removed + redis.call('UNLINK', key) end
end
remove(data .. ':index')
remove(data .. ':spelled')
remove(data .. ':owners')
remove(data .. ':items')
remove(data .. ':dead')
for i = 3, #ARGV do
  local session = string.match(ARGV[i], '^[^.]*')
  if redis.call('EXISTS', sessions .. ':' .. session) == 0 then remove(data .. ':flight:' .. ARGV[i]) end
end
return removed
