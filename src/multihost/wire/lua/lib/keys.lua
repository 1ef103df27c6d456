-- lib/keys: every key that an object may own.

local function keys_of(data)
  return {data, data .. ':index', data .. ':spelled', data .. ':refs', data .. ':owners'}
end
