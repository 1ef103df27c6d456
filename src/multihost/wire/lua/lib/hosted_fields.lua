-- lib/hosted_fields: the field of a hosted object.

local HOST = 'host' -- ident of the host process that has the object
