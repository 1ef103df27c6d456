-- object/drop: remove unnamed objects that have no owner. Idempotent. O(objects), at most 200 a call.
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
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/keys
for _, data in ipairs(KEYS) do
  if redis.call('PTTL', data) >= 0 then
    for _, key in ipairs(keys_of(data)) do redis.call('UNLINK', key) end
  end
end
return false
