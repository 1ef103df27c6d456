-- lib/decode_reply: what the reply cache holds for a request. See lib/reply_cache.

-- @include lib/codes
-- @include lib/errors
-- @include lib/outcomes
-- Return the reply in a list if the request is not new: the cached one, or an error if a later one was executed.
local function decode_reply(cached, request)
  local number, kind = string.sub(cached, 1, 12), string.sub(cached, 13, 13)
  if number < request then return nil end
  if number > request then return {redis.error_reply(STALE)} end
  if kind == '' then return {OK} end
  if kind == NIL then return {false} end
  if kind == ERROR then return {redis.error_reply(string.sub(cached, 14))} end
  return {string.sub(cached, 14)}
end
