"""Operations of a namespace: attribute -> encoded value, in a hash with an empty sentinel field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from multihost.errors import BadPayload
from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import StoringScript, without_flag
from multihost.wire.ops.object import object_gone
from multihost.wire.refusals import ALTERED
from multihost.wire.replies import OK, misread, pairs
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.values.codec import LINKED

SENTINEL = b""

_create = StoringScript("namespace/create", slice(4, None, 2))
_set = StoringScript("namespace/set", slice(1, 2))
_delete = Script("namespace/delete")


def field_of(name: str) -> bytes:
    """Return the field of an attribute."""
    return b"." + name.encode("utf-8", "surrogatepass")


def create(handle: Handle, fields: Sequence[bytes], values: Sequence[bytes]) -> bool:
    """Create the namespace, or attach to it; return whether it was created. 1 round trip, O(n)."""
    content = [part for pair in zip(fields, values, strict=True) for part in pair]
    return any_object.create(_create, handle, "Namespace", "", *content)


def get(handle: Handle, field: bytes) -> bytes | None:
    """Return the value of an attribute, None if there is no such attribute. 1 round trip, O(1)."""
    value: bytes | None
    found = handle.link.execute(b"HMGET", handle.keys.data, SENTINEL, field)
    try:
        sentinel, value = found
    except (TypeError, ValueError):
        raise misread("namespace/get", handle.keys.ident) from None
    if sentinel is None:
        raise object_gone(handle, "namespace/get")
    return value


def attributes(handle: Handle) -> Mapping[bytes, bytes]:
    """Return all attributes, of one moment. 1 round trip, O(n)."""
    found = pairs(handle.link.execute(b"HGETALL", handle.keys.data))
    if not found:
        raise object_gone(handle, "namespace/attributes")
    return {field: value for field, value in found.items() if field}


def name_of(field: bytes) -> str:
    """Return the name of an attribute. Raises BadPayload for what is none."""
    try:
        return field[1:].decode("utf-8", "surrogatepass")
    except (AttributeError, TypeError, UnicodeDecodeError):
        raise BadPayload(f"the name of an attribute is no text: {ALTERED.text}") from None


def put(handle: Handle, field: bytes, value: bytes) -> None:
    """Set one attribute. 1 round trip, O(1)."""
    answer = (_set.run_linked if value[0] == LINKED else _set.run_once)(handle, field, value)
    if answer != OK:
        without_flag(handle, answer)


def delete(handle: Handle, field: bytes) -> bool:
    """Remove one attribute; return whether there was one. 1 round trip, O(1)."""
    answer = _delete.run_once(handle, field)
    return answer is not None and without_flag(handle, answer) == b""
