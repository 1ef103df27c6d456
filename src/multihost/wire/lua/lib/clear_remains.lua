-- lib/clear_remains: what is left of another object that had the name of one that is being created.

-- @include lib/keys
-- Only what there is: a deletion would let a full server accept what follows (lib/allow_oom). What that object released
-- and no client has disowned yet stays counted, and epochs go on rising.
local function clear_remains(data)
  local keys, refs = keys_of(data)
  for _, key in ipairs(keys) do
    if key ~= data .. ':refs' and redis.call('EXISTS', key) == 1 then redis.call('UNLINK', key) end
  end
  for i = 1, #refs, 2 do
    if is_consumer(refs[i]) then redis.call('HDEL', data .. ':refs', refs[i]) end
  end
end
