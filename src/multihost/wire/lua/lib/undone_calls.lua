-- lib/undone_calls: how many calls of task_done() count again, that a server has forgotten.

-- @include lib/refs_fields
-- @include lib/lists_of
-- Return how many items of a queue are in flight. O(in-flight lists).
local function in_flight_count(data)
  local count, refs = 0, redis.call('HGETALL', data .. ':refs')
  for i = 1, #refs, 2 do
    local kind = string.sub(refs[i], 1, 2)
    if kind == CONSUMER or kind == BURIED then
      local in_flight = data .. ':inflight:' .. string.sub(refs[i], 3) .. '.'
      for n = 1, lists_of(string.match(refs[i + 1], '^%d+')) do count = count + redis.call('LLEN', in_flight .. n) end
    end
  end
  return count
end

-- A session made so many calls, of which the server knows `had`. They were for items that it had received before the
-- first call that was undone, and that are not in the queue again. got: see queue/settle; waiting: unfinished items
-- that are not in the queue.
local function undone_calls(data, done, had, got, waiting)
  local undone, numbers = done - had, {}
  if undone <= 0 then return 0 end
  for number in string.gmatch(got, '%d+') do numbers[#numbers + 1] = tonumber(number) end
  local first = numbers[#numbers - undone + 1]
  return math.max(math.min(undone, waiting - in_flight_count(data), first and first - had or undone), 0)
end
