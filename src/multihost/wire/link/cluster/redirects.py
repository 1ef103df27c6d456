"""What servers of a cluster answer to what belongs elsewhere, and how it is sent there.

``MOVED``: another server has the slot. ``ASK``: the slot is about to move, and the key is not here:
the next command alone may be sent to the other server, behind ``ASKING``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from multihost.wire.link.channel import Node, Reply
from multihost.wire.link.resp import Command, pack
from multihost.wire.replies import ReplyError

__all__ = ["asks", "key_of", "prefix_of", "redirected", "with_asking"]

ASKING = pack((b"ASKING",))

_KEY_AT = {b"EVAL": 3, b"EVALSHA": 3, b"MEMORY": 2}


def key_of(command: Command) -> bytes | None:
    """Return the first key of a command, None if it has none."""
    at = _KEY_AT.get(command[0].upper(), 1)
    if len(command) > at and command[at][:1] == b"{" and b"}:" in command[at]:
        return command[at]
    return None


def prefix_of(key: bytes) -> bytes:
    """Return what all keys of the partition of a key begin with."""
    return key[: key.index(b"}:") + 2]


def redirected(error: ReplyError, asked: Node, remap: Callable[[Node], Node]) -> Node:
    """Return where a redirect leads. A server that does not know its own name says none: then it
    is at the host that was asked.
    """
    host, _, port = error.core.split(" ")[2].rpartition(":")
    host = host.strip("[]")
    return remap((asked[0] if host in ("", "?") else host, int(port)))


def asks(requests: bytes, replies: Sequence[Reply]) -> ReplyError | None:
    """Return the ASK with which all of some packed requests were answered, None if not all were:
    then some of their keys are still here.
    """
    asked: ReplyError | None = None
    queued = refused = False  # of a transaction: some of its commands are here, or are not
    for (name, _), reply in zip(_split(requests), replies, strict=False):
        is_asked = type(reply) is ReplyError and reply.code == "ASK"
        if is_asked:
            asked = reply
        if name == b"MULTI":
            queued = refused = False
        elif reply == b"QUEUED":
            queued = True
        elif name == b"EXEC":
            if not is_asked and (queued or not refused):
                return None
        elif is_asked:
            refused = True
        else:
            return None
    return asked


def with_asking(requests: bytes) -> tuple[bytes, list[int]]:
    """Return packed requests with what another server needs to execute them for a slot that it does
    not have yet, and which of the replies are theirs.
    """
    packed: list[bytes] = []
    own: list[int] = []
    in_transaction = False
    for name, request in _split(requests):
        if not in_transaction:  # there it holds to the end
            packed.append(ASKING)
        own.append(len(packed))
        packed.append(request)
        in_transaction = name == b"MULTI" or (in_transaction and name != b"EXEC")
    return b"".join(packed), own


def _split(requests: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names of packed requests, and these."""
    start = 0
    while start < len(requests):
        end = requests.index(b"\r\n", start)
        name, at = b"", end + 2
        for _ in range(int(requests[start + 1 : end])):
            end = requests.index(b"\r\n", at)
            size = int(requests[at + 1 : end])
            name = name or requests[end + 2 : end + 2 + size].upper()
            at = end + 2 + size + 2
        yield name, requests[start:at]
        start = at
