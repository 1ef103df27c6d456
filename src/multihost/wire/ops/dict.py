"""Operations of an ordered dict: canonical field -> encoded value, in insertion order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import has_proxies, retain, without_flag
from multihost.wire.replies import MustRetain, pairs
from multihost.wire.script import Script, transaction
from multihost.wire.session import Handle

_create = Script("dict/create")
_set = Script("dict/set")
_delete = Script("dict/delete")
_pop = Script("dict/pop")
_popitem = Script("dict/popitem")
_setdefault = Script("dict/setdefault")
_update = Script("dict/update")
_clear = Script("dict/clear")
_increment = Script("dict/increment")
_replace = Script("dict/replace")


class Entries:
    """The entries of a dict as the scripts take them, encoded before anything is sent."""

    __slots__ = ("fields", "originals", "values")

    def __init__(self, handle: Handle, entries: Mapping[Any, Any]) -> None:
        self.fields: list[bytes]
        self.originals: list[bytes]
        self.fields, self.originals = handle.codec.spelled_fields(entries)
        self.values: Sequence[bytes] = handle.codec.dump_many(list(entries.values()))

    def args(self) -> list[bytes]:
        pairs = [b""] * (2 * len(self.fields))
        pairs[0::2] = self.fields
        pairs[1::2] = self.values
        return [b"%d" % (len(self.originals) // 2), *self.originals, *pairs]


def create(handle: Handle, entries: Entries) -> bool:
    """Create the dict, or attach to it; whether it was created. 1 round trip, O(entries)."""
    try:
        return any_object.create(
            _create, handle, "dict", "", has_proxies(entries.values), *entries.args()
        )
    except MustRetain:
        entries.values = retain(handle, entries.values)
        return create(handle, entries)


def get(handle: Handle, field: bytes) -> bytes | None:
    """The value of a key, None if there is none. 1 round trip, O(1)."""
    counter, value = handle.link.execute(b"HMGET", handle.keys.data, b"", field)
    if counter is None:
        raise object_gone(handle, "dict/get")
    return value  # type: ignore[no-any-return]


def contains(handle: Handle, field: bytes) -> bool:
    """Whether there is such a key. 1 round trip, O(1)."""
    data = handle.keys.data
    there, alive = handle.link.pipeline(((b"HEXISTS", data, field), (b"HEXISTS", data, b"")))
    if not alive:
        raise object_gone(handle, "dict/contains")
    return bool(there)


def length(handle: Handle) -> int:
    """1 round trip, O(1)."""
    size = int(handle.link.execute(b"HLEN", handle.keys.data))
    if not size:
        raise object_gone(handle, "dict/length")
    return size - 1


def fields(handle: Handle) -> list[bytes]:
    """The keys in order, as they were spelled first. 1 round trip, O(n)."""
    keys = handle.keys
    order, spelled = transaction(
        handle.link, (b"ZRANGE", keys.index, b"0", b"-1"), (b"HGETALL", keys.originals)
    )
    if not order:
        raise object_gone(handle, "dict/fields")
    return _with_originals(order[1:], pairs(spelled))


def entries(handle: Handle) -> tuple[list[bytes], list[bytes]]:
    """Keys and values in order, all of one moment. 1 round trip, O(n)."""
    keys = handle.keys
    data, order, spelled = transaction(
        handle.link,
        (b"HGETALL", keys.data),
        (b"ZRANGE", keys.index, b"0", b"-1"),
        (b"HGETALL", keys.originals),
    )
    if not order:
        raise object_gone(handle, "dict/entries")
    del order[0]
    values = list(map(pairs(data).__getitem__, order))
    return _with_originals(order, pairs(spelled)), values


def _with_originals(order: list[bytes], spelled: dict[bytes, bytes]) -> list[bytes]:
    return [spelled.get(field, field) for field in order] if spelled else order


def put(handle: Handle, field: bytes, value: bytes, spelling: bytes) -> None:
    """Put one entry. 1 round trip, O(log n) for a new key, else O(1)."""
    try:
        answer = _set.run_once(handle, field, value, spelling)
    except MustRetain:
        return put(handle, field, retain(handle, (value,))[0], spelling)
    if answer != b".":
        without_flag(handle, answer)
    return None


def delete(handle: Handle, field: bytes) -> bool:
    """Remove one entry; whether there was one. 1 round trip, O(log n)."""
    answer = _delete.run_once(handle, field)
    return answer is not None and without_flag(handle, answer) == b""


def pop(handle: Handle, field: bytes) -> bytes | None:
    """Remove one entry; its value, None if there is none. 1 round trip, O(log n)."""
    answer = _pop.run_once(handle, field)
    return None if answer is None else without_flag(handle, answer)


def popitem(handle: Handle) -> tuple[bytes, bytes] | None:
    """Remove the entry inserted last; its key and value, None if the dict is empty. 1 round trip,
    O(log n).
    """
    answer = _popitem.run_once(handle)
    if answer is None:
        return None
    size, _, rest = without_flag(handle, answer).partition(b" ")
    return rest[: int(size)], rest[int(size) :]


def setdefault(handle: Handle, field: bytes, value: bytes, spelling: bytes) -> bytes | None:
    """Put an entry unless the key is there; the value that was there. 1 round trip."""
    try:
        answer: bytes = _setdefault.run_once(handle, field, value, spelling)
    except MustRetain:
        return setdefault(handle, field, retain(handle, (value,))[0], spelling)
    return answer[1:] if answer[:1] == b"=" else None


def update(handle: Handle, entries: Entries) -> None:
    """Put many entries at once. 1 round trip, O(entries)."""
    try:
        answer = _update.run_once(handle, has_proxies(entries.values), *entries.args())
    except MustRetain:
        entries.values = retain(handle, entries.values)
        return update(handle, entries)
    without_flag(handle, answer)
    return None


def clear(handle: Handle) -> None:
    """Remove every entry. 1 round trip; the server frees the memory in the background."""
    without_flag(handle, _clear.run_once(handle))


def increment(handle: Handle, field: bytes, amount: int, spelling: bytes) -> int | None:
    """Add to a 64-bit number; the sum, None if the value or the sum is no such number. 1 round
    trip.
    """
    answer = _increment.run_once(handle, field, b"%d" % amount, spelling)
    return None if answer is None else int(answer[1:])


def replace(handle: Handle, field: bytes, expected: bytes, value: bytes, spelling: bytes) -> bool:
    """Put an entry if its value is still ``expected``, empty for none; whether it was."""
    try:
        answer = _replace.run_once(handle, field, expected, value, spelling)
    except MustRetain:
        return replace(handle, field, expected, retain(handle, (value,))[0], spelling)
    return answer is not None and without_flag(handle, answer) == b""
