-- lib/dict_fill: many entries of a dict at once.

-- @include lib/dict_fields
-- Put args[first + 1 ...]: first the number of original keys, then field and original key of each, then field and value
-- of each entry. Chunks of 1000 arguments.
local function fill_dict(data, args, first)
  local call, index, originals = redis.call, data .. ':index', data .. ':originals'
  local start = first + 1 + 2 * tonumber(args[first])
  if start > first + 1 then
    local has_new = false
    for i = first + 1, start - 1, 2 do
      if call('HEXISTS', data, args[i]) == 0 then
        call('HSET', originals, args[i], args[i + 1])
        has_new = true
      end
    end
    local ttl = has_new and call('PTTL', data) or 0 -- after any write a full server would accept the others
    if ttl > 0 then call('PEXPIRE', originals, ttl) end
  end
  for i = start, #args, 1000 do
    local stop = math.min(i + 999, #args)
    if call('HSET', data, unpack(args, i, stop)) > 0 then
      local entries = (stop - i + 1) / 2
      local number = call('HINCRBY', data, COUNTER, entries) - entries
      local scores, last = {}, 0
      for j = i, stop, 2 do
        number = number + 1
        scores[last + 1] = number
        scores[last + 2] = args[j]
        last = last + 2
      end
      call('ZADD', index, 'NX', unpack(scores, 1, last))
    end
  end
end
