-- object/renew: renew the leases of objects that have one. Idempotent. O(objects), at most 200 a call.
--
-- KEYS
--   data...                       any   the objects
--   data...:index                 zset  their order
--   data...:originals             hash  their original keys or members
--   data...:refs                  hash  references to unnamed objects
--   data...:owners                hash  owner -> epoch
--   data...:items                 any   items of a queue
--   data...:dead                  list  dead letters of a queue
--   data...:inflight:<in_flight>  list  items that a consumer has in flight
--   data...:free                  list  free elements of a lock or a semaphore
--   data...:held:<place>          list  what a session holds
-- ARGV
--   lease  int  milliseconds
-- RETURNS  idents of the unnamed objects that those with a lease contain
-- ERRORS   none

-- @include lib/refs_fields
-- @include lib/keys
local lease = ARGV[1]

local contained = {}
for _, data in ipairs(KEYS) do
  local ttl = redis.call('PTTL', data)
  if ttl >= 0 then
    local keys, refs = keys_of(data)
    for _, key in ipairs(keys) do redis.call('PEXPIRE', key, lease) end
    for i = 1, #refs, 2 do
      if string.sub(refs[i], 1, 2) == COUNT then contained[#contained + 1] = string.sub(refs[i], 3) end
    end
  elseif ttl == -1 then -- something persistent contains it: what its consumers have in flight stays as well
    for _, key in ipairs((keys_of(data))) do
      if string.find(key, ':inflight:', 1, true) then redis.call('PERSIST', key) end
    end
  end
end
return contained
