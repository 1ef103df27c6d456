-- object/let_go: a process lets go of unnamed objects that others may have. Those are removed that nobody has any more.
-- O(objects), at most 200 a call, all of one partition.
--
-- data:given has, of each process that has let go, how often it gave the object to a process that it started, less how
-- often one of those has let go as well. Where all have who ever had it nothing is left of that. One who has not is
-- missing to who gave it to him; or, if that one has not let go, either, that one is missing, and so on up to who made
-- it. Who was killed stays missing: the object goes with its lease then.
--
-- KEYS
--   reply_cache         string  last request of the connection and its reply
--   names               hash    NOT USED: names of the partition, which says which one it is
--   partition:u:<data>  any     the objects, with all their keys
--   partition:lists     hash    the sessions that have places at unnamed objects
-- ARGV
--   request     int    number of the request
--   giver       bytes  the process
--   objects...  bytes  of each its ident, how often the process gave it, and of whom it was given it, and how often
-- RETURNS  OK
-- ERRORS   none

-- @include lib/reply_cache
-- @include lib/keys
-- @include lib/partition
-- @include lib/note_lists
-- @include lib/allow_oom
local reply_cache, names = KEYS[1], KEYS[2]
local request, giver = ARGV[1], ARGV[2]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local partition = partition_of(names)

local function change(given, who, by)
  if redis.call('HINCRBY', given, who, by) == 0 then redis.call('HDEL', given, who) end
end

for i = 3, #ARGV, 3 do
  local object = partition .. ARGV[i]
  local given, ttl = object .. ':given', redis.call('PTTL', object)
  if ttl >= 0 then
    allow_oom(given)
    if ARGV[i + 1] ~= '0' then change(given, giver, ARGV[i + 1]) end
    for who, count in string.gmatch(ARGV[i + 2], '(%S+) (%d+)') do change(given, who, '-' .. count) end
    if redis.call('EXISTS', given) == 1 then
      redis.call('PEXPIRE', given, math.max(ttl, 1))
    else
      local keys, refs = keys_of(object)
      for _, key in ipairs(keys) do redis.call('UNLINK', key) end
      forget_lists(object, refs)
    end
  end
end
return save_reply(reply_cache, request, OK)
