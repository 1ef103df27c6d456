-- lib/session_fields: fields of the record of a session.

local BEATS = 'b' -- counter that each heartbeat raises
local RUN = 'r' -- run id of the server that numbered the connections
local CONNECTIONS = 'c' -- client ids of open connections of the process, with commas; empty if one is not known
local HOST = 'h' -- identity of the host: boot, and namespaces of process ids and of time; empty if not known
local PROCESS = 'p' -- process id and, in ticks since the boot, when it started: '<pid> <ticks>'
local GRACE = 'g' -- milliseconds in which it is back after all its connections have ended
local LEASE = 'l' -- milliseconds without a heartbeat after which it is dead
local HOSTNAME = 'n' -- name of the host, for people
