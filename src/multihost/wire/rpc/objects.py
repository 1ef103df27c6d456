"""Operations of an object in the memory of a host: a record says where it is, and lives with it."""

from __future__ import annotations

from collections.abc import Sequence

from multihost.wire.ops import object as any_object
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["create", "end", "host_of", "existing"]

_create = Script("hosted/create")
_end = Script("hosted/end")


def create(handle: Handle, typeid: str, host: str, dead: str = "") -> str | None:
    """Enter an object of ``host``; the host of the one that was there under its name. 1 round trip.

    If that is the ``dead`` one its name is taken over. Raises TypeError for a name that is another
    type's.
    """
    return any_object.attach(
        _create, handle, typeid, host, host.encode(), dead.encode(), explicit=False
    )


def end(handle: Handle, host: str) -> None:
    """Remove an object, if it is this host's. 1 round trip."""
    _end.run_idempotent(handle, handle.keys.name or b"", host.encode())


def host_of(handle: Handle) -> str | None:
    """The host of an object; None if there is no such object. 1 round trip."""
    try:
        found = handle.link.execute_raw(b"HGET", handle.keys.data, b"host")
    except ReplyError as error:
        if "WRONGTYPE" in str(error):  # an object of another type
            return None
        raise to_exception(error, "hosted/host_of", handle.keys.ident) from None
    return None if found is None else found.decode()


def existing(handles: Sequence[Handle], host: str) -> list[bool]:
    """Which of the objects are this host's. 1 round trip."""
    if not handles:
        return []
    replies = handles[0].link.pipeline([(b"HGET", each.keys.data, b"host") for each in handles])
    return [reply == host.encode() for reply in replies]
