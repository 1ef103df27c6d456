-- lib/host_fields: the field of a host process.

local SESSION = 's' -- its session
