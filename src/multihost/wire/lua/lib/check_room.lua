-- lib/check_room: check that a queue accepts so many items more.

-- @include lib/errors
-- @include lib/save_error
-- Return nil, or the reply in a list if it does not. state: MAXSIZE, SHUT_DOWN and PUTTERS.
local function check_room(reply_cache, request, state, behind_waiters, size, count)
  if not state[1] then return {save_error(reply_cache, request, object_gone('queue'))} end
  if state[2] then return {save_error(reply_cache, request, QUEUE_SHUT_DOWN)} end
  local maxsize = tonumber(state[1])
  if maxsize > 0 and (size + count > maxsize or (behind_waiters == '1' and tonumber(state[3] or 0) > 0)) then
    return {save_nil(reply_cache, request)}
  end
  return nil
end
