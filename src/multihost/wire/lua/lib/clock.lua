-- lib/clock: the time of this server, in milliseconds. Only what lies in one partition is compared by it.

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Return a number as commands take it: all its digits.
local function digits(number)
  return string.format('%.0f', number)
end
