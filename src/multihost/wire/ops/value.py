"""Operations of a single value, in a hash with one field."""

from __future__ import annotations

from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import StoringScript, without_flag
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import OK, misread
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.values.codec import LINKED

VALUE = b"v"

_create = StoringScript("value/create", slice(3, 4))
_set = StoringScript("value/set", slice(1))
_add = Script("value/add")
_replace = StoringScript("value/replace", slice(1, 2))


def create(handle: Handle, typecode: str, value: bytes) -> bool:
    """Create the value, or attach to it; return whether it was created. 1 round trip."""
    return any_object.create(_create, handle, "Value", typecode, value)


def get(handle: Handle) -> bytes:
    """Return the value. 1 round trip."""
    value: bytes | None = handle.link.execute(b"HGET", handle.keys.data, VALUE)
    if value is None:
        raise object_gone(handle, "value/get")
    return value


def put(handle: Handle, value: bytes) -> None:
    """Set the value. 1 round trip."""
    answer = (_set.run_linked if value[0] == LINKED else _set.run_once)(handle, value)
    if answer != OK:
        without_flag(handle, answer)


def add(handle: Handle, amount: int) -> int | None:
    """Add to a 64-bit number; return the sum, None if the value or the sum is no such number. 1
    round trip.
    """
    answer = _add.run_once(handle, b"%d" % amount)
    try:
        return None if answer is None else int(answer[1:])
    except (TypeError, ValueError):
        raise misread("value/increment", handle.keys.ident) from None


def replace(handle: Handle, expected: bytes, value: bytes) -> bool:
    """Replace the value if it is still ``expected``; return whether it was. 1 round trip."""
    answer = _replace.run_once(handle, expected, value)
    return answer is not None and without_flag(handle, answer) == b""
