"""Connections to one server. What others use of it:"""

from multihost.wire.link.channel import Broken, Late, Reply
from multihost.wire.link.link import SKIP, Link
from multihost.wire.link.pinned import Caller
from multihost.wire.link.redispy import from_client
from multihost.wire.link.resp import Command, pack, pack_all, pack_args
from multihost.wire.link.transaction import snapshot, watched

__all__ = [
    "SKIP",
    "Broken",
    "Caller",
    "Command",
    "Late",
    "Link",
    "Reply",
    "from_client",
    "pack",
    "pack_all",
    "pack_args",
    "snapshot",
    "watched",
]
