"""Operations of a single value."""

from __future__ import annotations

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import retain, without_flag
from multihost.wire.replies import OK, MustRetain
from multihost.wire.script import Script
from multihost.wire.session import Handle

_create = Script("value/create")
_set = Script("value/set")
_add = Script("value/add")
_replace = Script("value/replace")


def create(handle: Handle, typecode: str, value: bytes) -> bool:
    """Create the value, or attach to it; whether it was created. 1 round trip."""
    try:
        return any_object.create(_create, handle, "Value", typecode, value)
    except MustRetain:
        return create(handle, typecode, retain(handle, (value,))[0])


def get(handle: Handle) -> bytes:
    """1 round trip."""
    value: bytes | None = handle.link.execute(b"HGET", handle.keys.data, b"v")
    if value is None:
        raise object_gone(handle, "value/get")
    return value


def put(handle: Handle, value: bytes) -> None:
    """1 round trip."""
    try:
        answer = _set.run_once(handle, value)
    except MustRetain:
        return put(handle, retain(handle, (value,))[0])
    if answer != OK:
        without_flag(handle, answer)
    return None


def add(handle: Handle, amount: int) -> int | None:
    """Add to a 64-bit number; the sum, None if the value or the sum is no such number. 1 round
    trip.
    """
    answer = _add.run_once(handle, b"%d" % amount)
    return None if answer is None else int(answer[1:])


def replace(handle: Handle, expected: bytes, value: bytes) -> bool:
    """Replace the value if it is still ``expected``; whether it was. 1 round trip."""
    try:
        answer = _replace.run_once(handle, expected, value)
    except MustRetain:
        return replace(handle, expected, retain(handle, (value,))[0])
    return answer is not None and without_flag(handle, answer) == b""
