-- lib/object_fields: the field that every hash has in which users do not name the fields themselves.

local TYPE = 't' -- its type, then <field>=<list> for each kind of waiter: see object/delete
