-- object/adopt: add a persistent owner to an unnamed object, which needs no lease from then on.
--
-- KEYS
--   reply_cache                string  last request of the connection and its reply
--   data                       any     the object
--   data:index                 zset    its order
--   data:originals             hash    its original keys or members
--   data:refs                  hash    references to unnamed objects
--   data:owners                hash    owner -> epoch
--   data:items                 any     items of a queue
--   data:dead                  list    dead letters of a queue
--   data:inflight:<in_flight>  list    items that a consumer has in flight
--   data:free                  list    free elements of a lock or a semaphore
--   data:held:<place>          list    what a session holds
-- ARGV
--   request     int    number of the request
--   owner       bytes  ident of the owner
--   epoch       int    in which the owner took it in
--   back        int    1 = the owner is just becoming persistent, by way of this object: only record the owner
--   since       int    epoch in which it came to own the following
--   adopted...  bytes  what it contains and already owns
-- RETURNS  OK; CONTENTS: what it has to own in that epoch first
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/refs_fields
-- @include lib/keys
local reply_cache, data = KEYS[1], KEYS[2]
local request, owner, epoch, back, since = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(reply_cache, request)
if done then return done[1] end
local ttl = redis.call('PTTL', data)
if ttl == -2 then
  -- @include lib/save_error
  return save_error(reply_cache, request, object_gone('object in the value'))
end
local refs = data .. ':refs'
local adopted = {}
-- If it was released since then, so was what it had come to own.
if tonumber(redis.call('HGET', refs, RELEASED_IN) or 0) <= tonumber(since) then
  for i = 6, #ARGV do
    adopted[ARGV[i]] = true
    -- What was removed from it meanwhile is disowned together with the next that is.
    if redis.call('HSETNX', refs, COUNT .. ARGV[i], 0) == 1 then
      redis.call('HSET', refs, EPOCH .. ARGV[i], since)
      if ttl >= 0 then redis.call('PEXPIRE', refs, math.max(ttl, 1)) end
    end
  end
end
if ttl >= 0 and back == '0' then
  local missing = {}
  for _, field in ipairs(redis.call('HKEYS', refs)) do
    local ident = string.sub(field, 3)
    if string.sub(field, 1, 2) == COUNT and not adopted[ident] then missing[#missing + 1] = ident end
  end
  if #missing > 0 then
    local new_epoch = redis.call('HINCRBY', refs, LAST_EPOCH, 1)
    for _, ident in ipairs(missing) do redis.call('HSET', refs, EPOCH .. ident, new_epoch) end
    return save_reply(reply_cache, request, CONTENTS .. new_epoch .. ',' .. table.concat(missing, ','))
  end
end
local last = redis.call('HGET', data .. ':owners', owner)
if not last or tonumber(last) < tonumber(epoch) then redis.call('HSET', data .. ':owners', owner, epoch) end
if ttl >= 0 and back == '1' then
  redis.call('PEXPIRE', data .. ':owners', math.max(ttl, 1))
elseif ttl >= 0 then
  for _, key in ipairs(keys_of(data)) do redis.call('PERSIST', key) end
end
return save_reply(reply_cache, request, OK)
