-- lib/session_ttl: after how many milliseconds a record that nobody looks at is garbage. It says nothing about life.

local SESSION_TTL = '86400000'
