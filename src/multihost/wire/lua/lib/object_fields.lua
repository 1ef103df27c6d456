-- lib/object_fields: the field that every hash has whose fields are the state of an object.

local TYPE = 't' -- its type, then field=list for each kind of waiter, see object/delete and wire/ops/kinds.py
