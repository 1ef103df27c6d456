-- lib/clear_remains: what is left of another object that had the name of one that is being created.

-- @include lib/keys
-- Only what there is: a deletion would let a full server accept what follows (lib/allow_oom).
local function clear_remains(data)
  for _, key in ipairs((keys_of(data))) do
    if redis.call('EXISTS', key) == 1 then redis.call('UNLINK', key) end
  end
end
