-- lib/allow_oom: let a server that has reached maxmemory accept the writes of a script.
--
-- Such a server refuses the first write of a script if the command may need memory, but none that follows a write
-- which was accepted. So a script that only moves or removes data, and has to store a little to do so (a wake-up token,
-- a counter), begins with a deletion: with one that it has to do anyhow, or with this one, of a field that no hash has.
-- Scripts that add data must not do so: they are refused with OOM, and have changed nothing.

local function allow_oom(hash)
  redis.call('HDEL', hash, '-')
end
