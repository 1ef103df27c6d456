"""Operations of an object in the memory of a host: on the server there is only its host's ident."""

from __future__ import annotations

from collections.abc import Sequence

from multihost.wire.ops import object as any_object
from multihost.wire.refusals import ALTERED
from multihost.wire.replies import ReplyError, command_error, text, to_exception
from multihost.wire.script import Script
from multihost.wire.session import Handle

__all__ = ["create", "end", "existing", "host_of"]

_create = Script("hosted/create")
_end = Script("hosted/end")


def create(handle: Handle, typeid: str, host: str, dead: str = "") -> str | None:
    """Record an object of ``host``. If an object of that name exists return its host, unless that
    is the ``dead`` one: then the new object replaces it. 1 round trip.

    Raises TypeError if the name is that of an object of another type.
    """
    return any_object.attach(
        _create,
        handle,
        typeid,
        host,
        host.encode(),
        dead.encode("utf-8", "surrogateescape"),
        explicit=False,
    )


def end(handle: Handle, host: str) -> None:
    """Delete the record of an object, if it is this host's. 1 round trip."""
    _end.run_idempotent(handle, handle.keys.name or b"", host.encode())


def host_of(handle: Handle) -> str | None:
    """Return the host of an object; None if there is no such object. 1 round trip."""
    try:
        found = handle.link.execute_raw(b"HGET", handle.keys.data, b"host")
    except ReplyError as error:
        if error.refusal is ALTERED:  # an object of another type
            return None
        raise to_exception(error, "hosted/host_of", handle.keys.ident) from None
    if found is None:
        return None
    host = text("hosted/host_of", handle.keys.ident, found)
    return host.decode("utf-8", "surrogateescape")


def existing(handles: Sequence[Handle], host: str) -> list[bool]:
    """Return for each object whether it exists at this host. 1 round trip."""
    if not handles:
        return []
    commands = [(b"HGET", each.keys.data, b"host") for each in handles]
    replies = handles[0].session.link.pipeline_raw(commands)
    for reply, command in zip(replies, commands, strict=True):
        if isinstance(reply, ReplyError) and reply.refusal is not ALTERED:
            raise command_error(reply, command)
    return [reply == host.encode() for reply in replies]  # not an object of another type
