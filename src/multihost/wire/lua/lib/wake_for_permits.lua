-- lib/wake_for_permits: as many wake-up tokens as there are permits for waiters.

local function wake_for_permits(data, free, waiters)
  local count = math.min(free, waiters) - redis.call('LLEN', data .. ':tokens')
  if count > 0 then
    -- @include lib/wake
    wake(data .. ':tokens', count)
  end
end
