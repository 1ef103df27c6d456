"""What every object can do, whatever its type: be created, kept, let go and deleted."""

from __future__ import annotations

from multihost.errors import BadPayload, ProtocolMismatch
from multihost.wire import keys as key_names
from multihost.wire.identity import label, unescape
from multihost.wire.ops.ownership import without_flag
from multihost.wire.replies import ReplyError, pairs, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle, Session

__all__ = [
    "attach",
    "create",
    "delete",
    "everything",
    "exists",
    "object_gone",
    "lease_left",
    "memory",
    "names",
]

_delete = Script("object/delete")

GONE = ReplyError("GONE the object does not exist")


# -- names


def create(
    script: Script,
    handle: Handle,
    typeid: str,
    detail: str = "",
    *content: bytes,
) -> bool:
    """Create the object with its content, or attach to the one of its name; whether it was created.

    Raises for an object of another type (TypeError), with other parameters (ValueError) or of
    another release.
    """
    return attach(script, handle, typeid, detail, *content) is None


def attach(
    script: Script,
    handle: Handle,
    typeid: str,
    detail: str = "",
    *content: bytes,
    explicit: bool = True,
) -> str | None:
    """The same; None if it was created, else the parameters of the object that was there.

    They may differ from ``detail`` if those are not ``explicit``, but were assumed.

    Raises for an object of another type (TypeError), with other parameters (ValueError) or of
    another release.
    """
    # What the names of a partition say of an object: protocol, codec, type, parameters.
    kind = f"{key_names.PROTOCOL} {handle.codec.ident} {typeid} {detail}".rstrip().encode()
    answer = script.run_once(
        handle,
        handle.keys.name or b"",
        kind,
        handle.session.lease_ms,
        *content,
    )
    if answer[:1] != b"=":
        return None
    protocol, reader, kind_there, detail_there = (*answer[1:].decode().split(" ", 3), "")[:4]
    name = label(handle.keys.ident)
    if protocol != str(key_names.PROTOCOL):
        raise ProtocolMismatch(
            f"{name!r} has data layout {protocol}, this release of multihost reads "
            f"{key_names.PROTOCOL}: use the release that wrote it, or delete the object"
        )
    if kind_there != typeid:
        raise TypeError(
            f"{name!r} is a {kind_there}, not a {typeid}: choose another name or delete it first"
        )
    if reader != handle.codec.ident:
        raise BadPayload(
            f"{name!r} was written as {reader}, this manager reads {handle.codec.ident}: "
            "open it with the same authkey and serializer"
        )
    if explicit and detail_there != detail:
        raise ValueError(
            f"{name!r} is a {typeid} of {detail_there!r}, not of {detail!r}: attach with the same"
        )
    return str(detail_there)


def names(session: Session) -> dict[str, str]:
    """Name -> type of every named object in the namespace. One round trip, O(names)."""
    link = session.link
    found: dict[str, str] = {}
    replies = link.pipeline(
        [(b"HGETALL", key_names.names(session.namespace, n)) for n in range(key_names.PARTITIONS)]
    )
    for reply in replies:
        for name, kind in pairs(reply).items():
            found[name.decode("utf-8", "surrogatepass")] = kind.split(b" ")[2].decode()
    return found


# -- the object itself


def object_gone(handle: Handle, operation: str) -> Exception:
    """The error for an object that does not exist."""
    return to_exception(GONE, operation, handle.keys.ident)


def exists(handle: Handle, operation: str) -> None:
    """Raise ObjectGone unless the object exists."""
    if not handle.link.execute(b"EXISTS", handle.keys.data):
        raise object_gone(handle, operation)


def delete(handle: Handle) -> bool:
    """Delete the object and its name; whether there was one. One round trip, more if it kept others
    alive.
    """
    answer = _delete.run_once(handle, handle.keys.name or b"")
    if answer is None:
        return False
    without_flag(handle, answer)
    return True


def lease_left(handle: Handle) -> float | None:
    """Seconds until the object expires unless someone renews it; None if it has no lease."""
    left = int(handle.link.execute(b"PTTL", handle.keys.data))
    if left == -2:
        raise object_gone(handle, "statistics")
    return None if left < 0 else left / 1000


def memory(handle: Handle) -> int | None:
    """Bytes that the object takes on the server; None where the server does not say."""
    total = 0
    for key in handle.keys.all:
        try:
            total += handle.link.execute_raw(b"MEMORY", b"USAGE", key) or 0
        except ReplyError:
            return None
    return total


def everything(session: Session) -> dict[str, tuple[str, float | None]]:
    """Every object of the namespace: ident -> its type on the server, and the seconds of its lease.
    O(keys of the server).
    """
    link = session.link
    pattern = b"{%b:[0-9][0-9]}:[nu]:*" % session.namespace.encode()
    found: dict[bytes, None] = {}
    cursor = b"0"
    while True:
        cursor, some = link.execute(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"1000")
        found.update(dict.fromkeys(key for key in some if key.split(b"}:", 1)[1].count(b":") == 1))
        if cursor == b"0":
            break
    known: dict[str, tuple[str, float | None]] = {}
    for key in found:
        kind, left = link.pipeline([(b"TYPE", key), (b"PTTL", key)])
        if left == -2:  # it has gone meanwhile
            continue
        what = kind.decode() if isinstance(kind, bytes) else str(kind)
        ident = key.split(b"}:", 1)[1].decode("utf-8", "surrogatepass")
        known[unescape(ident, ":")] = (
            what,
            None if left < 0 else left / 1000,
        )
    return known
