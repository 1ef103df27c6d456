-- lib/catch_up: begin the generation of a barrier that a server has forgotten.

-- @include lib/barrier_fields
-- @include lib/barrier_generation
-- Parties that wait for an earlier one are not let pass: nobody knows whether they are of those that were. sid, ended,
-- outcome and acting: see barrier/settle; old: the generation that the server knows.
local function catch_up(data, sid, generation, old, ended, outcome, acting)
  local arrived = 0
  for _, field in ipairs(redis.call('HKEYS', data)) do
    local kind, session = string.match(field, '^(..)([^~]*)')
    if kind == UNNOTIFIED or kind == WAITER and session == sid then
      redis.call('HDEL', data, field)
    elseif kind == WAITER then
      arrived = arrived + 1
    end
  end
  if acting == '' or old ~= ended then
    local is_broken = outcome == BROKEN and ended + 1 == tonumber(generation)
    break_generation(data, old, arrived, is_broken and BROKEN or '')
  end
  redis.call('HSET', data, GENERATION, generation, ARRIVED, '0')
  if acting ~= '' then redis.call('HSET', data, ACTING, ended, WAITER .. acting, ended) end
end
