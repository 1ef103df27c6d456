"""Operations of a list of encoded values.

The data is a Redis list whose first element is an empty sentinel: element ``i`` stands at ``i +
1``, and element ``-1`` at ``-1``.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import TypeVar

from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import StoringScript, has_proxies, without_flag
from multihost.wire.ops.object import exists, object_gone
from multihost.wire.replies import EMPTY, TOO_LONG, WRONG_SIZE, counted, text, texts
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.values.codec import LINKED

_create = StoringScript("list/create", slice(4, None))
_extend = StoringScript("list/extend", slice(1, None))
_insert = StoringScript("list/insert", slice(1, 2))
_set = StoringScript("list/set", slice(1, 2))
_pop = Script("list/pop")
_splice = StoringScript("list/splice", slice(3, None))
_set_slice = StoringScript("list/set_slice", slice(4, None))
_delete_slice = Script("list/delete_slice")
_permute = Script("list/permute")
_reverse = Script("list/reverse")
_multiply = Script("list/multiply")

Values = Sequence[bytes]
T = TypeVar("T")

NEAR = 100  # elements that are read before one is searched for
SELF_MADE_CONFLICTS = 3  # attempts that the code of the user itself may spoil


def _number(index: int | None) -> bytes:
    return b"" if index is None else b"%d" % index


def create(handle: Handle, values: Values) -> bool:
    """Create the list, or attach to it; return whether it was created. 1 round trip, O(values)."""
    return any_object.create(_create, handle, "list", "", has_proxies(values), *values)


def get(handle: Handle, index: int) -> bytes | None:
    """Return one element, None if the index is out of range. 1 round trip, O(distance from the
    nearer end).
    """
    value: bytes | None = handle.link.execute(
        b"LINDEX", handle.keys.data, b"%d" % (index + 1 if index >= 0 else index)
    )
    if value:
        return value
    if value is None:
        exists(handle, "list/get")
    return None


def length(handle: Handle) -> int:
    """Return the number of elements. 1 round trip, O(1)."""
    size = counted("list/length", handle.keys.ident, handle.link.execute(b"LLEN", handle.keys.data))
    if not size:
        raise object_gone(handle, "list/length")
    return size - 1


def values(
    handle: Handle, start: int | None = None, stop: int | None = None
) -> builtins.list[bytes]:
    """Return the elements of a slice without a step, all of one moment. 1 round trip, O(distance +
    elements).
    """
    first = 1 if start is None else start + 1 if start >= 0 else start
    last = -1 if stop is None else stop if stop >= 0 else stop - 1
    reply = handle.link.execute(b"LRANGE", handle.keys.data, b"%d" % first, b"%d" % last)
    found = texts("list/values", handle.keys.ident, reply)
    if not found:
        exists(handle, "list/values")
    elif not found[0]:
        del found[0]
    return found


def position(handle: Handle, value: bytes) -> int | None:
    """Return the index of an element with exactly these bytes. 1 round trip, O(n) on the server."""
    found = handle.link.execute(b"LPOS", handle.keys.data, value)
    return None if found is None else counted("list/index", handle.keys.ident, found) - 1


def search(
    handle: Handle,
    value: bytes | None,
    find: Callable[[Values], int | None],
    near: builtins.list[bytes] | None = None,
) -> int | None:
    """Return the index that ``find`` returns for the elements from the first on, up to one with
    these bytes, or for all; None if it does. They are of one moment. ``near`` are the first ones,
    if they were read already, with the sentinel. 1 round trip for a short list, else up to 4;
    O(index), O(n) if there is none.
    """
    if near is None:
        near = handle.link.execute(b"LRANGE", handle.keys.data, b"0", b"%d" % NEAR)
    if not texts("list/index", handle.keys.ident, near):
        raise object_gone(handle, "list/index")
    if len(near) <= NEAR:
        return find(near[1:])
    at = None if value is None else position(handle, value)
    if at is not None:
        found = find(near[1:] if at < NEAR else values(handle, 0, at + 1))
        if found is not None:
            return found  # else the list was changed meanwhile
    return find(values(handle))


def extend(handle: Handle, values: Values) -> None:
    """Append elements. 1 round trip, O(values)."""
    run, linked = _extend.way(values)
    run(handle, linked, *values)


def insert(handle: Handle, index: int, value: bytes) -> None:
    """Put an element before an index. 1 round trip, O(distance from the head)."""
    (_insert.run_linked if value[0] == LINKED else _insert.run_once)(handle, b"%d" % index, value)


def put(handle: Handle, index: int, value: bytes) -> bool:
    """Replace one element; return False if the index is out of range. 1 round trip, O(distance)."""
    run = _set.run_linked if value[0] == LINKED else _set.run_once
    answer = run(handle, b"%d" % index, value)
    return answer is not None and without_flag(handle, answer) == b""


def pop(handle: Handle, index: int) -> bytes | None:
    """Remove one element and return it; None if the index is out of range, b"" if the list is
    empty. 1 round trip.
    """
    return _popped(handle, _pop.run_once(handle, b"%d" % index))


def put_back(handle: Handle, index: int, value: bytes) -> None:
    """Put a removed element back to its index. 1 round trip, more if it contains proxies."""
    if index == -1:
        extend(handle, (value,))
    else:
        insert(handle, index if index >= 0 else index + 1, value)


def _popped(handle: Handle, answer: bytes | None) -> bytes | None:
    if answer is None:
        return None
    return b"" if answer == EMPTY else without_flag(handle, answer)


def _bounded(handle: Handle, decide: Callable[[Values], T], what: str) -> Callable[[Values], T]:
    """Return ``decide``, which runs code of the user, with a limit: if that code changes the list,
    no attempt ever succeeds.
    """
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


def pop_where(handle: Handle, value: bytes | None, find: Callable[[Values], int | None]) -> bool:
    """Remove the element that :func:`search` finds; return False if it finds none. 2 round trips
    for a short list, else up to 5, more in a race; O(n).
    """
    keys = handle.keys

    def decide(near: builtins.list[bytes]) -> Sequence[bytes] | None:
        found = search(handle, value, chosen, near)
        return None if found is None else (b"%d" % found,)

    chosen = _bounded(handle, find, "remove")
    near = b"LRANGE", keys.data, b"0", b"%d" % NEAR
    return _popped(handle, _pop.run_watching(handle, near, decide)) is not None


def permute(handle: Handle, order: Callable[[Values], Sequence[int] | None]) -> None:
    """Put the elements in the order that ``order`` returns. 2 round trips, O(n), more in a
    race.
    """
    keys = handle.keys

    def decide(elements: builtins.list[bytes]) -> Sequence[bytes] | None:
        if not elements:
            raise object_gone(handle, "list/permute")
        indexes = ordered(texts("list/permute", keys.ident, elements)[1:])
        return None if indexes is None else [b"%d" % index for index in indexes]

    ordered = _bounded(handle, order, "sort")
    _permute.run_watching(handle, (b"LRANGE", keys.data, b"0", b"-1"), decide)


def splice(handle: Handle, start: int | None, stop: int | None, values: Values) -> None:
    """Replace the elements of a slice without a step. 1 round trip, O(elements behind start)."""
    bounds = _number(start), _number(stop)
    run, linked = _splice.way(values)
    without_flag(handle, run(handle, *bounds, linked, *values))


def set_slice(handle: Handle, where: slice, values: Values) -> int | None:
    """Replace the elements of an extended slice; return its size if that is not the number of
    values. 1 round trip.
    """
    bounds = _number(where.start), _number(where.stop), _number(where.step)
    run, linked = _set_slice.way(values)
    answer = text("list/set_slice", handle.keys.ident, run(handle, *bounds, linked, *values))
    if answer[:1] == WRONG_SIZE:
        return int(answer[1:])
    without_flag(handle, answer)
    return None


def delete_slice(handle: Handle, where: slice) -> None:
    """Remove the elements of an extended slice. 1 round trip, O(n)."""
    bounds = _number(where.start), _number(where.stop), _number(where.step)
    without_flag(handle, _delete_slice.run_once(handle, *bounds))


def reverse(handle: Handle) -> None:
    """Reverse the order of the elements. 1 round trip, O(n)."""
    _reverse.run_once(handle)


def multiply(handle: Handle, times: int) -> None:
    """Repeat the elements. 1 round trip, O(n * times)."""
    answer = _multiply.run_once(handle, b"%d" % times)
    if answer == TOO_LONG:
        raise MemoryError("a list on the server has less than 2**32 elements; nothing was changed")
    without_flag(handle, answer)
