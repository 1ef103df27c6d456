-- lib/frames: the kinds of frames that scripts send over RPC channels. wire/rpc/frames.py has all kinds.

local CLOSE = '.' -- to a thread of the host: close the channel
local CHECK = '!' -- to a client: check whether the host is alive
