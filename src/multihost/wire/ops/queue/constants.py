"""What the modules of this package share: the fields of a queue's hashes, and a script."""

from __future__ import annotations

from multihost.wire.script import Script

__all__ = [
    "GETTERS",
    "KIND",
    "LISTS_OF",
    "MAXSIZE",
    "PUTTERS",
    "SHUT_DOWN",
    "UNFINISHED",
    "reap_script",
]

# Fields of ``data``.
MAXSIZE, UNFINISHED, SHUT_DOWN = b"n", b"u", b"x"
PUTTERS, GETTERS = b"w", b"gw"  # number of waiters: for room, and for an item of a priority queue
KIND = b"k"  # what the items of a priority queue are sorted by
# A field of ``data:refs``, before the id of a session: how many in-flight lists it has.
LISTS_OF = b"f:"

reap_script: Script = Script("queue/reap")
