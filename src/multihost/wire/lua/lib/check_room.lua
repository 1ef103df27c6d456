-- lib/check_room: whether a queue takes so many items more; a reply in a list if it does not.

-- @include lib/save_error
local function check_room(record, request, state, waiting, size, count)
  if not state[1] then return {save_error(record, request, object_gone('queue'))} end
  if state[2] then return {save_error(record, request, 'SHUTDOWN the queue was shut down')} end
  local most = tonumber(state[1])
  if most > 0 and (size + count > most or (waiting == '1' and tonumber(state[3] or 0) > 0)) then
    return {save_nil(record, request)}
  end
  return nil
end
