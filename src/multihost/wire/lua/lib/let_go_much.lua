-- lib/let_go_much: let go of all that a container without a lease contained, in no more time than of one object.
--
-- It becomes the contents of an object of its own, without data, which was let go: the collector finds it there.

-- @include lib/cut
-- @include lib/epoch_fields
local function let_go_much(partition, contains)
  local number = string.sub(partition, -4, -3)
  local rest = 'u:cut-' .. number .. '-' .. digits(now()) .. '-' .. digits(redis.call('ZCARD', partition .. 'kept'))
  while redis.call('EXISTS', partition .. rest .. ':contains') == 1 do rest = rest .. '-' end
  redis.call('RENAME', contains, partition .. rest .. ':contains')
  local epoch = redis.call('HGET', partition .. 'epoch', EPOCH) or 0
  redis.call('ZADD', partition .. 'kept', digits(2 * epoch), rest)
  note_cut(partition, {rest})
end
