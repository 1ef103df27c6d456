-- lib/dict_fields: the field of a dict that is no key. All others: canonical key -> encoded value.

local COUNTER = '' -- how many keys were inserted, and 1; it keeps an empty dict in existence
