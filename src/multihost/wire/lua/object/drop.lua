-- object/drop: remove unnamed objects that nothing keeps. Over the objects given, at most 200 a call; may be repeated.
--
-- KEYS
--   data...          any   the objects
--   data...:index    zset  their order
--   data...:spelled  hash  their first spellings
--   data...:refs     hash  unnamed objects they contain
--   data...:owners   hash  kept containers that contain them
--   data...:items  any   those of a queue
--   data...:dead  list  its dead letters
--   data...:flight:<flight>  list  what a consumer took out of it
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
