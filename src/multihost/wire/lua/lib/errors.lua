-- lib/errors: texts of error replies. wire/replies.py makes exceptions of the first words.

local QUEUE_SHUT_DOWN = 'SHUTDOWN the queue was shut down'
local STALE = 'STALE a later request was executed'
local STAGED = 'STAGED the arguments were not received once each'
