"""Operations of a list of encoded values.

The data is a Redis list whose first element is an empty sentinel: element ``i`` stands at ``i +
1``, and element ``-1`` at ``-1``.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import TypeVar

from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import exists, object_gone
from multihost.wire.ops.ownership import has_proxies, retain, without_flag
from multihost.wire.replies import EMPTY, TOO_LONG, WRONG_SIZE, MustRetain
from multihost.wire.script import Script
from multihost.wire.session import Handle

_create = Script("list/create")
_extend = Script("list/extend")
_insert = Script("list/insert")
_set = Script("list/set")
_pop = Script("list/pop")
_splice = Script("list/splice")
_set_slice = Script("list/set_slice")
_delete_slice = Script("list/delete_slice")
_permute = Script("list/permute")
_reverse = Script("list/reverse")
_multiply = Script("list/multiply")

Values = Sequence[bytes]
T = TypeVar("T")

SELF_MADE_CONFLICTS = 3


def _number(index: int | None) -> bytes:
    return b"" if index is None else b"%d" % index


def create(handle: Handle, values: Values) -> bool:
    """Create the list, or attach to it; whether it was created. 1 round trip, O(values)."""
    try:
        return any_object.create(_create, handle, "list", "", has_proxies(values), *values)
    except MustRetain:
        return create(handle, retain(handle, values))


def get(handle: Handle, index: int) -> bytes | None:
    """One element, None if the index is out of range. 1 round trip, O(distance from the nearer
    end).
    """
    value = handle.link.execute(
        b"LINDEX", handle.keys.data, b"%d" % (index + 1 if index >= 0 else index)
    )
    if value:
        return value  # type: ignore[no-any-return]
    if value is None:
        exists(handle, "list/get")
    return None


def length(handle: Handle) -> int:
    """1 round trip, O(1)."""
    size = int(handle.link.execute(b"LLEN", handle.keys.data))
    if not size:
        raise object_gone(handle, "list/length")
    return size - 1


def values(
    handle: Handle, start: int | None = None, stop: int | None = None
) -> builtins.list[bytes]:
    """The elements of a slice without a step, all of one moment. 1 round trip, O(distance +
    elements).
    """
    first = 1 if start is None else start + 1 if start >= 0 else start
    last = -1 if stop is None else stop if stop >= 0 else stop - 1
    found: builtins.list[bytes] = handle.link.execute(
        b"LRANGE", handle.keys.data, b"%d" % first, b"%d" % last
    )
    if not found:
        exists(handle, "list/values")
    elif not found[0]:
        del found[0]
    return found


def position(handle: Handle, value: bytes) -> int | None:
    """Where an element with exactly these bytes stands. 1 round trip, O(n) on the server."""
    found = handle.link.execute(b"LPOS", handle.keys.data, value)
    return None if found is None else found - 1


def extend(handle: Handle, values: Values) -> None:
    """Append elements. 1 round trip, O(values)."""
    try:
        _extend.run_once(handle, has_proxies(values), *values)
    except MustRetain:
        extend(handle, retain(handle, values))


def insert(handle: Handle, index: int, value: bytes) -> None:
    """Put an element before an index. 1 round trip, O(distance from the head)."""
    try:
        _insert.run_once(handle, b"%d" % index, value)
    except MustRetain:
        insert(handle, index, retain(handle, (value,))[0])


def put(handle: Handle, index: int, value: bytes) -> bool:
    """Replace one element; False if the index is out of range. 1 round trip, O(distance)."""
    try:
        answer = _set.run_once(handle, b"%d" % index, value)
    except MustRetain:
        return put(handle, index, retain(handle, (value,))[0])
    return answer is not None and without_flag(handle, answer) == b""


def pop(handle: Handle, index: int) -> bytes | None:
    """Remove one element and return it; None if the index is out of range, b"" if the list is
    empty. 1 round trip.
    """
    return _popped(handle, _pop.run_once(handle, b"%d" % index))


def _popped(handle: Handle, answer: bytes | None) -> bytes | None:
    if answer is None:
        return None
    return b"" if answer == EMPTY else without_flag(handle, answer)


def _bounded(handle: Handle, decide: Callable[[Values], T], what: str) -> Callable[[Values], T]:
    """``decide``, which runs code of the user. If that changes the list itself, there is no end."""
    spoiled = 0

    def bounded(elements: Values) -> T:
        nonlocal spoiled
        if spoiled == SELF_MADE_CONFLICTS:
            raise ValueError(f"list modified during {what}")
        before = handle.link.requests_sent()
        decision = decide(elements)
        spoiled = 0 if handle.link.requests_sent() == before else spoiled + 1
        return decision

    return bounded


def pop_where(handle: Handle, find: Callable[[Values], int]) -> None:
    """Remove the element whose index ``find`` tells, from all of one moment. 2 round trips, O(n),
    more in a race.
    """
    keys = handle.keys

    def decide(elements: builtins.list[bytes]) -> Sequence[bytes]:
        if not elements:
            raise object_gone(handle, "list/pop")
        return (b"%d" % chosen(elements[1:]),)

    chosen = _bounded(handle, find, "remove")
    answer = _pop.run_watching(handle, (b"LRANGE", keys.data, b"0", b"-1"), decide)
    _popped(handle, answer)


def permute(handle: Handle, order: Callable[[Values], Sequence[int] | None]) -> None:
    """Put the elements in the order that ``order`` tells. 2 round trips, O(n), more in a race."""
    keys = handle.keys

    def decide(elements: builtins.list[bytes]) -> Sequence[bytes] | None:
        if not elements:
            raise object_gone(handle, "list/permute")
        places = ordered(elements[1:])
        return None if places is None else [b"%d" % place for place in places]

    ordered = _bounded(handle, order, "sort")
    _permute.run_watching(handle, (b"LRANGE", keys.data, b"0", b"-1"), decide)


def splice(handle: Handle, start: int | None, stop: int | None, values: Values) -> None:
    """Replace the elements of a slice without a step. 1 round trip, O(elements behind start)."""
    try:
        answer = _splice.run_once(
            handle,
            _number(start),
            _number(stop),
            has_proxies(values),
            *values,
        )
    except MustRetain:
        return splice(handle, start, stop, retain(handle, values))
    without_flag(handle, answer)
    return None


def set_slice(handle: Handle, where: slice, values: Values) -> int | None:
    """Replace the elements of an extended slice; its size if that is not the number of values. 1
    round trip.
    """
    try:
        answer = _set_slice.run_once(
            handle,
            _number(where.start),
            _number(where.stop),
            _number(where.step),
            has_proxies(values),
            *values,
        )
    except MustRetain:
        return set_slice(handle, where, retain(handle, values))
    if answer[:1] == WRONG_SIZE:
        return int(answer[1:])
    without_flag(handle, answer)
    return None


def delete_slice(handle: Handle, where: slice) -> None:
    """Remove the elements of an extended slice. 1 round trip, O(n)."""
    bounds = (_number(where.start), _number(where.stop), _number(where.step))
    without_flag(handle, _delete_slice.run_once(handle, *bounds))


def reverse(handle: Handle) -> None:
    """1 round trip, O(n)."""
    _reverse.run_once(handle)


def multiply(handle: Handle, times: int) -> None:
    """Repeat the elements. 1 round trip, O(n * times)."""
    answer = _multiply.run_once(handle, b"%d" % times)
    if answer == TOO_LONG:
        raise MemoryError("a list on the server has less than 2**32 elements; nothing was changed")
    without_flag(handle, answer)
