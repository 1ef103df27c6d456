-- lib/object_fields: the fields of any hash in which users do not name the fields themselves.

local TYPE = 't' -- its type, then <field>=<list> for each kind of waiter: see object/delete
local LOOKER = '@:' -- <script> -> when a session looked by it last, for how many that wait, and which: see lib/looker
