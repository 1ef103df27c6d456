"""Operations of a namespace: attribute -> encoded value, in a hash with an empty sentinel field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import StoringScript, without_flag
from multihost.wire.replies import OK, altered, pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle

SENTINEL = b""

_create = StoringScript("namespace/create", slice(4, None, 2))
_set = StoringScript("namespace/set", slice(1, 2))
_delete = Script("namespace/delete")


def _field(name: str) -> bytes:
    return b"." + name.encode("utf-8", "surrogatepass")


def create(handle: Handle, names: Sequence[str], values: Sequence[bytes]) -> bool:
    """Create the namespace, or attach to it; return whether it was created. 1 round trip, O(n)."""
    content = [
        part for name, value in zip(names, values, strict=True) for part in (_field(name), value)
    ]
    return any_object.create(_create, handle, "Namespace", "", *content)


def get(handle: Handle, name: str) -> bytes | None:
    """Return the value of an attribute, None if there is no such attribute. 1 round trip, O(1)."""
    value: bytes | None
    sentinel, value = handle.link.execute(b"HMGET", handle.keys.data, SENTINEL, _field(name))
    if sentinel is None:
        raise object_gone(handle, "namespace/get")
    return value


def attributes(handle: Handle) -> Mapping[str, bytes]:
    """Return all attributes, of one moment. 1 round trip, O(n)."""
    found = pairs(handle.link.execute(b"HGETALL", handle.keys.data))
    if not found:
        raise object_gone(handle, "namespace/attributes")
    try:
        return {
            field[1:].decode("utf-8", "surrogatepass"): value
            for field, value in found.items()
            if field
        }
    except UnicodeDecodeError:
        what = "the name of an attribute"
        raise altered("namespace/attributes", handle.keys.ident, what) from None


def put(handle: Handle, name: str, value: bytes) -> None:
    """Set one attribute. 1 round trip, O(1)."""
    answer = _set.run_once(handle, _field(name), value)
    if answer != OK:
        without_flag(handle, answer)


def delete(handle: Handle, name: str) -> bool:
    """Remove one attribute; return whether there was one. 1 round trip, O(1)."""
    answer = _delete.run_once(handle, _field(name))
    return answer is not None and without_flag(handle, answer) == b""
