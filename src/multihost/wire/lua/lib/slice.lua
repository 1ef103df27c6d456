-- lib/slice: a Python slice of a sequence of known length; '' stands for None.

local function bounds(length, start, stop, step)
  step = step == '' and 1 or tonumber(step)
  local lowest, highest = 0, length
  if step < 0 then lowest, highest = -1, length - 1 end
  local function clip(text, default)
    if text == '' then return default end
    local index = tonumber(text)
    if index < 0 then index = index + length end
    return math.max(lowest, math.min(index, highest))
  end
  start = clip(start, step < 0 and highest or lowest)
  stop = clip(stop, step < 0 and lowest or highest)
  local size = 0
  if step > 0 and start < stop then size = math.floor((stop - start - 1) / step) + 1 end
  if step < 0 and stop < start then size = math.floor((start - stop - 1) / -step) + 1 end
  return start, stop, step, size
end
