"""Operations of all objects, whatever their type: creating, finding and deleting them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from multihost.errors import BadPayload, ProtocolMismatch
from multihost.wire import keys as key_names
from multihost.wire.identity import label, unescape
from multihost.wire.link import Link
from multihost.wire.ops import kinds
from multihost.wire.ops.keeping import without_flag
from multihost.wire.replies import (
    EXISTS,
    GONE,
    ReplyError,
    altered,
    counted,
    integer,
    misread,
    pairs,
    row,
    texts,
    to_exception,
)
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
    "scanned",
    "sweep",
]

_delete = Script("object/delete")
_sweep = Script("object/sweep")

DAMAGED = "(damaged)"  # in the place of a type


# -- names


def create(
    script: Script,
    handle: Handle,
    typeid: str,
    detail: str = "",
    *content: bytes,
) -> bool:
    """Create the object with its content, or attach to the one of its name; return whether it was
    created. 1 round trip.

    Raises for an object of another type (TypeError), with other parameters (ValueError), with
    another codec (BadPayload) or of another release (ProtocolMismatch).
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
    """Create the object and return None, or attach to it and return its parameters. 1 round trip.

    They may differ from ``detail`` unless that is ``explicit``. Raises as :func:`create`.
    """
    # What the object itself stores, and the entry of its name: protocol, codec, type, parameters.
    entry = f"{key_names.PROTOCOL} {handle.codec.ident} {typeid} {detail}".rstrip()
    kind = f"{kinds.stored(typeid)}\n{entry}".encode()
    answer = script.run_once(
        handle,
        handle.keys.name or b"",
        kind,
        handle.session.ttl_ms,
        *content,
    )
    try:
        if answer[:1] != EXISTS:
            return None
    except TypeError:
        raise misread(script.name, handle.keys.ident) from None
    name = label(handle.keys.ident)
    words = answer[1:].decode("utf-8", "surrogateescape").split(" ", 3)
    if len(words) < 3:
        raise altered(script.name, handle.keys.ident, "the entry of its name")
    protocol, codec, found_type, found_detail = (*words, "")[:4]
    if protocol != str(key_names.PROTOCOL):
        raise ProtocolMismatch(
            f"{name!r} has data layout {protocol}, this release of multihost reads "
            f"{key_names.PROTOCOL}: use the release that wrote it, or delete the object"
        )
    if found_type != typeid:
        raise TypeError(
            f"{name!r} is a {found_type}, not a {typeid}: choose another name or delete it first"
        )
    if codec != handle.codec.ident:
        raise BadPayload(
            f"{name!r} was written as {codec}, this manager reads {handle.codec.ident}: "
            "open it with the same authkey and serializer"
        )
    if explicit and found_detail != detail:
        raise ValueError(
            f"{name!r} is a {typeid} of {found_detail!r}, not of {detail!r}: attach with the same"
        )
    return str(found_detail)


def names(session: Session) -> dict[str, str]:
    """Return the named objects of the namespace: name -> type, ``(damaged)`` where that cannot be
    read. 1 round trip, O(names).
    """
    link = session.link
    found: dict[str, str] = {}
    replies = link.pipeline(
        [(b"HGETALL", key_names.names(session.namespace, n)) for n in range(key_names.PARTITIONS)]
    )
    for reply in replies:
        table = pairs(reply)
        texts("object/names", "the server", [*table, *table.values()])
        for name, kind in table.items():
            words = kind.split(b" ")
            try:
                typeid = words[2].decode() if len(words) > 2 else ""
                found[name.decode("utf-8", "surrogatepass")] = (
                    typeid if typeid.isprintable() and typeid else DAMAGED
                )
            except UnicodeDecodeError:
                found[name.decode("utf-8", "backslashreplace")] = DAMAGED
    return found


# -- the object itself


def object_gone(handle: Handle, operation: str) -> Exception:
    """Return the error for an object that does not exist."""
    return to_exception(GONE, operation, handle.keys.ident)


def exists(handle: Handle, operation: str) -> None:
    """Raise ObjectGone unless the object exists. 1 round trip."""
    if not handle.link.execute(b"EXISTS", handle.keys.data):
        raise object_gone(handle, operation)


def delete(handle: Handle) -> bool:
    """Delete the object and its name; return whether it existed. 1 round trip."""
    answer = _delete.run_once(handle, handle.keys.name or b"")
    if answer is None:
        return False
    without_flag(handle, answer)
    return True


def sweep(handle: Handle, entry: bytes, lists: Sequence[bytes]) -> int:
    """Remove the remaining keys of an object that does not exist, and its name if ``entry`` is what
    is stored under it; return how many keys and names were removed. ``lists`` are the in-flight
    lists and places that may remain, by the ends of their keys. 1 round trip.
    """
    removed = _sweep.run_idempotent(handle, handle.keys.name or b"", entry, *lists)
    return counted("object/sweep", handle.keys.ident, removed)


def lease_left(handle: Handle) -> float | None:
    """Return the seconds until the object expires unless it is renewed, None if it has no lease. 1
    round trip. Raises ObjectGone.
    """
    left = integer("statistics", handle.keys.ident, handle.link.execute(b"PTTL", handle.keys.data))
    if left == -2:
        raise object_gone(handle, "statistics")
    return None if left < 0 else left / 1000


def memory(handle: Handle) -> int | None:
    """Return the bytes that the object takes on the server, None if the server refuses to tell. 1
    round trip for each key.
    """
    total = 0
    for key in handle.keys.all:
        try:
            used = handle.link.execute_raw(b"MEMORY", b"USAGE", key)
            total += counted("memory", handle.keys.ident, used or 0)
        except ReplyError:
            return None
    return total


def scanned(link: Link, pattern: bytes, page: int = 1000) -> Iterator[list[bytes]]:
    """Yield the keys of one server that match a pattern, some perhaps more than once. 1 round trip
    for each ``page`` keys of the database.
    """
    cursor = b"0"
    while True:
        reply = link.execute(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % page)
        cursor, found = row("object/scan", "the server", reply, 2)
        yield texts("object/scan", "the server", found)
        if cursor == b"0":
            return


def everything(session: Session) -> dict[str, tuple[str, float | None]]:
    """Return every object of the namespace: ident -> its type on the server, and the seconds of its
    lease. O(keys of the server).
    """
    link = session.link
    pattern = b"{%b:[0-9][0-9]}:[nu]:*" % session.namespace.encode()
    found: dict[bytes, None] = {}
    for each in link.masters():
        for batch in scanned(each, pattern):
            found.update(
                dict.fromkeys(key for key in batch if key.split(b"}:", 1)[1].count(b":") == 1)
            )
    known: dict[str, tuple[str, float | None]] = {}
    for key in found:
        kind, left = link.pipeline([(b"TYPE", key), (b"PTTL", key)])
        if left == -2:  # deleted meanwhile
            continue
        type_name = kind.decode() if isinstance(kind, bytes) else str(kind)
        ident = key.split(b"}:", 1)[1].decode("utf-8", "surrogatepass")
        known[unescape(ident, ":")] = (
            type_name,
            None if left < 0 else left / 1000,
        )
    return known
