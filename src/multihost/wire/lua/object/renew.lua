-- object/renew: give objects another lease, unless they need none. May be repeated.
--
-- Over the objects given, at most 200 a call.
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
--   lease  int  milliseconds
-- RETURNS  the unnamed objects that those with a lease contain
-- ERRORS   none

-- @include lib/keys
local lease = ARGV[1]

local contained = {}
for _, data in ipairs(KEYS) do
  if redis.call('PTTL', data) >= 0 then
    local keys, refs = keys_of(data)
    for _, key in ipairs(keys) do redis.call('PEXPIRE', key, lease) end
    for i = 1, #refs, 2 do
      if string.sub(refs[i], 1, 2) == 'n:' then contained[#contained + 1] = string.sub(refs[i], 3) end
    end
  end
end
return contained
