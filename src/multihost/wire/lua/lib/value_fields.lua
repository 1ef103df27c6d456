-- lib/value_fields: the field of a value.

local VALUE = 'v' -- the encoded value
