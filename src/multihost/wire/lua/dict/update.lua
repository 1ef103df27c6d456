-- dict/update: put many entries at once. O(entries), chunks of 1000 arguments.
--
-- KEYS
--   record   string  last request of the caller
--   data     hash    field -> value, '' -> insertion counter
--   data:index zset    field by insertion number
--   data:spelled hash    field -> first spelling of its key
--   data:refs hash    unnamed objects contained
-- ARGV
--   request     int    number of the request
--   linked      int    1 = a value contains proxies
--   entries...  bytes  number of spellings; field, spelling of each; field, value of each entry
-- RETURNS  '.', or '!' if objects were let go
-- ERRORS   GONE RETAIN

-- @include lib/once
-- @include lib/refs
-- @include lib/fill
local record, data = KEYS[1], KEYS[2]
local request, linked = ARGV[1], ARGV[2]

local done = answered(record, request)
if done then return done[1] end
local state = redis.call('EXISTS', data, data, data .. ':refs')
if state < 2 then
  -- @include lib/refuse
  return refuse(record, request, gone('dict'))
end
if linked == '0' and state == 2 then
  fill(data, ARGV, 3)
  return answer(record, request, '.')
end
local first = 4 + 2 * tonumber(ARGV[3])
local links = references(data)
local old = {}
for i = first, #ARGV, 2 do
  if links.must_retain(ARGV[i + 1]) then
    -- @include lib/refuse
    return refuse(record, request, RETAIN)
  end
  old[#old + 1] = redis.call('HGET', data, ARGV[i]) or nil
end
fill(data, ARGV, 3)
for i = first + 1, #ARGV, 2 do links.take_in(ARGV[i]) end
for _, value in ipairs(old) do links.let_go(value) end
return answer(record, request, links.flag)
