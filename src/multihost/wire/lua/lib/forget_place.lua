-- lib/forget_place: remove what is noted of a place that is not used any more.

-- @include lib/hold_fields
local function forget_place(data, place)
  redis.call('HDEL', data, HOLDER .. place, RELEASED .. place)
end
