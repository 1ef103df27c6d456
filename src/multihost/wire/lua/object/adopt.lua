-- object/adopt: an unnamed object gets an owner that is kept, and needs no lease any more.
--
-- KEYS
--   record   string  last request of the caller
--   data     any     the object
--   data:index zset    its order
--   data:spelled hash    its first spellings
--   data:refs hash    unnamed objects it contains
--   data:owners hash    owner -> epoch
--   data:items  any   those of a queue
--   data:dead  list  its dead letters
--   data:flight:<flight>  list  what a consumer took out of it
-- ARGV
--   request     int    number of the request
--   owner       bytes  ident of the owner
--   epoch       int    when the owner took it in
--   back        int    1 = the owner is being kept right now, by way of this object: only note it
--   since       int    the epoch in which it came to own the following
--   adopted...  bytes  what it contains and already owns
-- RETURNS  '.', or ',' and an epoch and what it contains and must own in that epoch first, separated by commas
-- ERRORS   GONE

-- @include lib/reply_cache
-- @include lib/keys
local record, data = KEYS[1], KEYS[2]
local request, owner, epoch, back, since = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local done = cached_reply(record, request)
if done then return done[1] end
local left = redis.call('PTTL', data)
if left == -2 then
  -- @include lib/save_error
  return save_error(record, request, object_gone('object in the value'))
end
local refs = data .. ':refs'
local adopted = {}
-- If it was let go since then, so was what it had come to own.
if tonumber(redis.call('HGET', refs, 'd') or 0) <= tonumber(since) then
  for i = 6, #ARGV do
    adopted[ARGV[i]] = true
    -- What was removed meanwhile is disowned with the next that is.
    if redis.call('HSETNX', refs, 'n:' .. ARGV[i], 0) == 1 then
      redis.call('HSET', refs, 'e:' .. ARGV[i], since)
      if left >= 0 then redis.call('PEXPIRE', refs, math.max(left, 1)) end
    end
  end
end
if left >= 0 and back == '0' then
  local missing = {}
  for _, field in ipairs(redis.call('HKEYS', refs)) do
    local ident = string.sub(field, 3)
    if string.sub(field, 1, 2) == 'n:' and not adopted[ident] then missing[#missing + 1] = ident end
  end
  if #missing > 0 then
    local taken = redis.call('HINCRBY', refs, '', 1)
    for _, ident in ipairs(missing) do redis.call('HSET', refs, 'e:' .. ident, taken) end
    return save_reply(record, request, ',' .. taken .. ',' .. table.concat(missing, ','))
  end
end
local last = redis.call('HGET', data .. ':owners', owner)
if not last or tonumber(last) < tonumber(epoch) then redis.call('HSET', data .. ':owners', owner, epoch) end
if left >= 0 and back == '1' then
  redis.call('PEXPIRE', data .. ':owners', math.max(left, 1))
elseif left >= 0 then
  for _, key in ipairs(keys_of(data)) do redis.call('PERSIST', key) end
end
return save_reply(record, request, '.')
