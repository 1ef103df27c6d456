-- lib/decode_reply: what a record says to a request that comes again. False means that the request is new.

local function decode_reply(last, request)
  local number, kind = string.sub(last, 1, 12), string.sub(last, 13, 13)
  if number < request then return nil end
  if number > request then return {redis.error_reply('STALE a later request was executed')} end
  if kind == '' then return {'.'} end
  if kind == '-' then return {false} end
  if kind == '!' then return {redis.error_reply(string.sub(last, 14))} end
  return {string.sub(last, 14)}
end
