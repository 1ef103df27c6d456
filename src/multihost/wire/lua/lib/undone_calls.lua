-- lib/undone_calls: how many calls of task_done() count again, that a server has forgotten.

-- @include lib/in_flight_lists
-- A session made so many calls, of which the server knows `had`. They were for items that it had received before the
-- first call that was undone, and that are not in the queue again. got: see queue/settle; waiting: unfinished items
-- that are not in the queue. O(in-flight lists).
local function undone_calls(data, done, had, got, waiting)
  local undone, numbers = done - had, {}
  if undone <= 0 then return 0 end
  for number in string.gmatch(got, '%d+') do numbers[#numbers + 1] = tonumber(number) end
  for _, list in ipairs(in_flight_lists(data)) do waiting = waiting - redis.call('LLEN', list) end
  local first = numbers[#numbers - undone + 1]
  return math.max(math.min(undone, waiting, first and first - had or undone), 0)
end
