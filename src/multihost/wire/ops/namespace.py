"""Operations of a namespace: attribute -> encoded value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import retain, without_flag
from multihost.wire.replies import OK, MustRetain, pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle

_create = Script("namespace/create")
_set = Script("namespace/set")
_delete = Script("namespace/delete")


def _field(name: str) -> bytes:
    return b"." + name.encode("utf-8", "surrogatepass")


def create(handle: Handle, names: Sequence[str], values: Sequence[bytes]) -> bool:
    """Create the namespace, or attach to it; whether it was created. 1 round trip, O(n)."""
    content = [
        part for name, value in zip(names, values, strict=True) for part in (_field(name), value)
    ]
    try:
        return any_object.create(_create, handle, "Namespace", "", *content)
    except MustRetain:
        return create(handle, names, retain(handle, values))


def get(handle: Handle, name: str) -> bytes | None:
    """The value of an attribute, None if there is none. 1 round trip, O(1)."""
    sentinel, value = handle.link.execute(b"HMGET", handle.keys.data, b"", _field(name))
    if sentinel is None:
        raise object_gone(handle, "namespace/get")
    return value  # type: ignore[no-any-return]


def attributes(handle: Handle) -> Mapping[str, bytes]:
    """All attributes, of one moment. 1 round trip, O(n)."""
    found = pairs(handle.link.execute(b"HGETALL", handle.keys.data))
    if not found:
        raise object_gone(handle, "namespace/attributes")
    return {
        field[1:].decode("utf-8", "surrogatepass"): value for field, value in found.items() if field
    }


def put(handle: Handle, name: str, value: bytes) -> None:
    """Set one attribute. 1 round trip, O(1)."""
    try:
        answer = _set.run_once(handle, _field(name), value)
    except MustRetain:
        return put(handle, name, retain(handle, (value,))[0])
    if answer != OK:
        without_flag(handle, answer)
    return None


def delete(handle: Handle, name: str) -> bool:
    """Remove one attribute; whether there was one. 1 round trip, O(1)."""
    answer = _delete.run_once(handle, _field(name))
    return answer is not None and without_flag(handle, answer) == b""
