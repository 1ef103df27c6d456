-- object/drop: remove unnamed objects that nothing keeps. Over the objects given, at most 200 a call; may be repeated.
--
-- KEYS
--   data...          any   the objects
--   data...:index    zset  their order
--   data...:spelled  hash  their first spellings
--   data...:refs     hash  unnamed objects they contain
--   data...:owners   hash  kept containers that contain them
-- ARGV
-- RETURNS  nothing
-- ERRORS   none

-- @include lib/keys
for _, data in ipairs(KEYS) do
  if redis.call('PTTL', data) >= 0 then redis.call('UNLINK', unpack(keys_of(data))) end
end
return false
