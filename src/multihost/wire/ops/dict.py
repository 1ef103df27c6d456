"""Operations of an ordered dict: canonical field -> encoded value, in insertion order.

The field that is empty counts the insertions, and exists as long as the dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import StoringScript, has_proxies, without_flag
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import EXISTS, OK, counted, misread, pairs, text, texts
from multihost.wire.script import Script, transaction
from multihost.wire.session import Handle
from multihost.wire.values.codec import LINKED

COUNTER = b""  # field: the number of the entry inserted last


def _values_behind_originals(count: int) -> Callable[[Sequence[bytes]], slice]:
    """Return where the values of entries are among the arguments of a script, of which argument
    ``count`` is the number of original keys: see :meth:`Entries.args`.
    """
    return lambda args: slice(count + 2 * int(args[count]) + 2, None, 2)


_create = StoringScript("dict/create", _values_behind_originals(4))
_set = StoringScript("dict/set", slice(1, 2))
_delete = Script("dict/delete")
_pop = Script("dict/pop")
_popitem = Script("dict/popitem")
_setdefault = StoringScript("dict/setdefault", slice(1, 2))
_update = StoringScript("dict/update", _values_behind_originals(1))
_update_new = StoringScript("dict/update_new", _values_behind_originals(1))
_clear = Script("dict/clear")
_increment = Script("dict/increment")
_replace = StoringScript("dict/replace", slice(2, 3))


class Entries:
    """The entries of a dict as the scripts take them, encoded before anything is sent."""

    __slots__ = ("fields", "originals", "values")

    def __init__(self, handle: Handle, entries: Mapping[Any, Any]) -> None:
        self.fields: list[bytes]
        self.originals: list[bytes]
        self.fields, self.originals = handle.codec.canonical_fields(entries)
        self.values: list[bytes] = handle.codec.dump_many(list(entries.values()), self.fields)

    def args(self) -> list[bytes]:
        """Return the number of original keys, the field and the key of each, then the entries."""
        pairs = [b""] * (2 * len(self.fields))
        pairs[0::2] = self.fields
        pairs[1::2] = self.values
        return [b"%d" % (len(self.originals) // 2), *self.originals, *pairs]


def create(handle: Handle, entries: Entries) -> bool:
    """Create the dict, or attach to it; return whether it was created. 1 round trip, O(entries)."""
    return any_object.create(
        _create, handle, "dict", "", has_proxies(entries.values), *entries.args()
    )


def get(handle: Handle, field: bytes) -> bytes | None:
    """Return the value of a key, None if there is no such key. 1 round trip, O(1)."""
    value: bytes | None
    found = handle.link.execute(b"HMGET", handle.keys.data, COUNTER, field)
    try:
        counter, value = found
    except (TypeError, ValueError):
        raise misread("dict/get", handle.keys.ident) from None
    if counter is None:
        raise object_gone(handle, "dict/get")
    return value


def contains(handle: Handle, field: bytes) -> bool:
    """Return whether there is such a key. 1 round trip, O(1)."""
    data = handle.keys.data
    found, exists = handle.link.pipeline(((b"HEXISTS", data, field), (b"HEXISTS", data, COUNTER)))
    if not exists:
        raise object_gone(handle, "dict/contains")
    return bool(found)


def length(handle: Handle) -> int:
    """Return the number of entries. 1 round trip, O(1)."""
    size = counted("dict/length", handle.keys.ident, handle.link.execute(b"HLEN", handle.keys.data))
    if not size:
        raise object_gone(handle, "dict/length")
    return size - 1


def fields(handle: Handle) -> tuple[list[bytes], list[bytes]]:
    """Return the keys in order, and their original forms. 1 round trip, O(n)."""
    keys = handle.keys
    order, originals = transaction(
        handle.link, (b"ZRANGE", keys.index, b"0", b"-1"), (b"HGETALL", keys.originals)
    )
    if not order:
        raise object_gone(handle, "dict/fields")
    order = texts("dict/fields", keys.ident, order)
    del order[0]
    return order, _originals_of(order, pairs(originals))


def entries(handle: Handle) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return keys, their original forms and values in order, all of one moment. 1 round trip,
    O(n).
    """
    keys = handle.keys
    data, order, originals = transaction(
        handle.link,
        (b"HGETALL", keys.data),
        (b"ZRANGE", keys.index, b"0", b"-1"),
        (b"HGETALL", keys.originals),
    )
    if not order:
        raise object_gone(handle, "dict/entries")
    try:
        del order[0]
        values = list(map(pairs(data).__getitem__, order))
        return order, _originals_of(order, pairs(originals)), values
    except (KeyError, TypeError):
        raise misread("dict/entries", keys.ident) from None


def _originals_of(order: list[bytes], originals: dict[bytes, bytes]) -> list[bytes]:
    return [originals.get(field, field) for field in order] if originals else order


def put(handle: Handle, field: bytes, value: bytes, original: bytes) -> None:
    """Put one entry. 1 round trip, O(log n) for a new key, else O(1)."""
    answer = (_set.run_linked if value[0] == LINKED else _set.run_once)(
        handle, field, value, original
    )
    if answer != OK:
        without_flag(handle, answer)


def delete(handle: Handle, field: bytes) -> bool:
    """Remove one entry; return whether there was one. 1 round trip, O(log n)."""
    answer = _delete.run_once(handle, field)
    return answer is not None and without_flag(handle, answer) == b""


def pop(handle: Handle, field: bytes) -> bytes | None:
    """Remove one entry; return its value, None if there is no such key. 1 round trip, O(log n)."""
    answer = _pop.run_once(handle, field)
    return None if answer is None else without_flag(handle, answer)


def popitem(handle: Handle) -> tuple[bytes, bytes, bytes] | None:
    """Remove the entry inserted last; return its key, its original key (empty: the key is it) and
    its value, None if the dict is empty. 1 round trip, O(log n).
    """
    answer = _popitem.run_once(handle)
    if answer is None:
        return None
    try:
        field, original, rest = without_flag(handle, answer).split(b" ", 2)
        key, end = int(field), int(field) + int(original)
        return rest[:key], rest[key:end], rest[end:]
    except (AttributeError, ValueError):
        raise misread("dict/popitem", handle.keys.ident) from None


def put_back(handle: Handle, field: bytes, original: bytes, value: bytes) -> None:
    """Put a removed entry back, as the last one, unless there is another of its key. 1 round trip,
    more if the value contains proxies.
    """
    setdefault(handle, field, value, original)


def setdefault(handle: Handle, field: bytes, value: bytes, original: bytes) -> bytes | None:
    """Put an entry unless the dict has the key; return the value that it has. 1 round trip."""
    answer = _setdefault.run_once(handle, field, value, original)
    answer = text("dict/setdefault", handle.keys.ident, answer)
    return answer[1:] if answer[:1] == EXISTS else None


def update(handle: Handle, entries: Entries) -> None:
    """Put many entries. 1 round trip, O(entries)."""
    run, linked = _update.way(entries.values)
    answer = run(handle, linked, *entries.args())
    without_flag(handle, answer)


def update_new(handle: Handle, entries: Entries) -> list[bool]:
    """Put the entries whose keys are new; return for each whether it was put. 1 round trip,
    O(entries).
    """
    answer = _update_new.run_once(handle, has_proxies(entries.values), *entries.args())
    flags = without_flag(handle, answer)
    if len(flags) != len(entries.fields):
        raise misread("dict/update", handle.keys.ident)
    return [flag == ord("1") for flag in flags]


def clear(handle: Handle) -> None:
    """Remove every entry. 1 round trip; the server frees the memory in the background."""
    without_flag(handle, _clear.run_once(handle))


def increment(handle: Handle, field: bytes, amount: int, original: bytes) -> int | None:
    """Add to a 64-bit number; return the sum, None if the value or the sum is no such number. 1
    round trip.
    """
    answer = _increment.run_once(handle, field, b"%d" % amount, original)
    try:
        return None if answer is None else int(answer[1:])
    except (TypeError, ValueError):
        raise misread("dict/increment", handle.keys.ident) from None


def replace(handle: Handle, field: bytes, expected: bytes, value: bytes, original: bytes) -> bool:
    """Put an entry if its value is still ``expected``, empty for none; return whether it was. 1
    round trip.
    """
    answer = _replace.run_once(handle, field, expected, value, original)
    return answer is not None and without_flag(handle, answer) == b""
