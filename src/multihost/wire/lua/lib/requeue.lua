-- lib/requeue: what was taken out of a queue goes back to where it was.
--
-- What lay at a consumer says so: '*<n>;' stands before a value that was delivered n times. One that was delivered as
-- often as it may be becomes a dead letter.

local function requeue(data, flight, order, counted, limit, down)
  local items, gave, letters = data .. ':items', 0, {}
  while true do
    local item = redis.call('RPOP', flight)
    if not item then break end
    if item == '' then
      if down then put_end_marker(items, order) end -- else it is that of a queue that was deleted
    else
      local rank, value = '', item
      if order == 'p' then
        local stop = string.find(item, ' ', 1, true) + 32
        rank, value = string.sub(item, 1, stop), string.sub(item, stop + 1)
      end
      local times, bare = string.match(value, '^%*(%d+);(.*)$')
      times, bare = tonumber(times or 0) + 1, bare or value
      if counted then value = '*' .. times .. ';' .. bare end
      if counted and limit > 0 and times >= limit then
        table.insert(letters, 1, rank .. bare)
      elseif order == 'p' then
        reinsert_sorted(data, rank, value)
        gave = gave + 1
      else
        redis.call(order == 'l' and 'RPUSH' or 'LPUSH', items, value)
        gave = gave + 1
      end
    end
  end
  if gave > 0 then inherit_ttl(data, items) end
  for _, letter in ipairs(letters) do redis.call('RPUSH', data .. ':dead', letter) end
  if #letters > 0 then inherit_ttl(data, data .. ':dead') end
  return gave, #letters
end
