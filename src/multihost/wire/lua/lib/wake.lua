-- lib/wake: tokens for those who are blocked on data:tokens.
--
-- A token is a hint: it says that a look is worth while, and holds nothing. One that nobody takes expires; whoever
-- looks (look.lua) finds what it was for and puts out another.

local function wake(tokens, count)
  local hints = {}
  for i = 1, count do hints[i] = '' end
  for i = 1, count, 1000 do redis.call('RPUSH', tokens, unpack(hints, i, math.min(i + 999, count))) end
  if count > 0 then redis.call('PEXPIRE', tokens, '60000') end
end
