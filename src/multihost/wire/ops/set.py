"""Operations of a set of canonical fields, of which an empty one is a sentinel."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable
from typing import Any

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import counted, misread, pairs, stored_number, text, texts
from multihost.wire.script import Script, transaction
from multihost.wire.session import Handle

SENTINEL = b""

_create = Script("set/create")
_update = Script("set/update")
_update_new = Script("set/update_new")
_remove = Script("set/remove")
_pop = Script("set/pop")
_intersect = Script("set/intersect")
_symmetric_difference = Script("set/symmetric_difference")
_clear = Script("set/clear")


def _members(handle: Handle, members: Collection[Any]) -> list[bytes]:
    """Return members as the scripts take them: number of original keys, field and key of each, then
    the fields.
    """
    fields, originals = handle.codec.canonical_fields(members)
    return [b"%d" % (len(originals) // 2), *originals, *fields]


def create(handle: Handle, members: Collection[Any]) -> bool:
    """Create the set, or attach to it; return whether it was created. 1 round trip, O(members)."""
    return any_object.create(_create, handle, "set", "", *_members(handle, members))


def contains(handle: Handle, field: bytes) -> bool:
    """Return whether there is such a member. 1 round trip, O(1)."""
    reply = handle.link.execute(b"SMISMEMBER", handle.keys.data, field, SENTINEL)
    try:
        found, exists = reply
    except (TypeError, ValueError):
        raise misread("set/contains", handle.keys.ident) from None
    if not exists:
        raise object_gone(handle, "set/contains")
    return bool(found)


def length(handle: Handle) -> int:
    """Return the number of members. 1 round trip, O(1)."""
    size = counted("set/length", handle.keys.ident, handle.link.execute(b"SCARD", handle.keys.data))
    if not size:
        raise object_gone(handle, "set/length")
    return size - 1


def fields(handle: Handle) -> tuple[builtins.list[bytes], builtins.list[bytes]]:
    """Return the members and their original forms, all of one moment. 1 round trip, O(n)."""
    keys = handle.keys
    members, reply = transaction(
        handle.link, (b"SMEMBERS", keys.data), (b"HGETALL", keys.originals)
    )
    if not members:
        raise object_gone(handle, "set/fields")
    found = [field for field in texts("set/fields", keys.ident, members) if field]
    originals = pairs(reply)
    return found, [originals.get(field, field) for field in found] if originals else found


def update(handle: Handle, members: Collection[Any]) -> None:
    """Add members. 1 round trip, O(members)."""
    _update.run_once(handle, *_members(handle, members))


def update_new(handle: Handle, members: Collection[Any]) -> builtins.list[bool]:
    """Add members; return for each whether it is new. 1 round trip, O(members)."""
    answer = _update_new.run_once(handle, *_members(handle, members))
    flags = text("set/update", handle.keys.ident, answer)[1:]
    if len(flags) != len(members):
        raise misread("set/update", handle.keys.ident)
    return [flag == ord("1") for flag in flags]


def remove(handle: Handle, members: Iterable[Any]) -> int:
    """Remove members; return how many there were. 1 round trip, O(members)."""
    fields = map(handle.codec.field, members)
    answer = _remove.run_once(handle, *fields)
    answer = text("set/remove", handle.keys.ident, answer)
    return stored_number("set/remove", handle.keys.ident, answer[1:], "how many there were")


def pop(handle: Handle) -> tuple[bytes, bytes] | None:
    """Remove any member; return its field and its original form (empty: the field is it), None if
    the set is empty. 1 round trip, O(1).
    """
    answer = _pop.run_once(handle)
    if answer is None:
        return None
    size, _, rest = text("set/pop", handle.keys.ident, answer)[1:].partition(b" ")
    end = stored_number("set/pop", handle.keys.ident, size, "the size of a member")
    return rest[:end], rest[end:]


def put_back(handle: Handle, field: bytes, original: bytes) -> None:
    """Put a removed member back. 1 round trip."""
    originals = (field, original) if original else ()
    _update.run_once(handle, b"%d" % bool(original), *originals, field)


def intersect(handle: Handle, members: Iterable[Any]) -> None:
    """Remove every member but these. 1 round trip, O(set + members)."""
    fields = map(handle.codec.field, members)
    _intersect.run_once(handle, *fields)


def symmetric_difference(handle: Handle, members: Collection[Any]) -> None:
    """Remove the members that the set has, add the others. 1 round trip, O(members)."""
    fields, originals = handle.codec.canonical_fields(members)
    # What stands twice would go as it came. Members that differ in Python may be one here.
    once = dict.fromkeys(fields)
    _symmetric_difference.run_once(handle, b"%d" % (len(originals) // 2), *originals, *once)


def clear(handle: Handle) -> None:
    """Remove every member. 1 round trip."""
    _clear.run_once(handle)
