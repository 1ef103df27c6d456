"""The shared list."""

from __future__ import annotations

import contextlib
import functools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from typing import Any, Self, SupportsIndex, TypeVar, overload

from multihost.proxies import stdlib_types
from multihost.proxies.base import value_of
from multihost.proxies.native import NativeProxy
from multihost.proxies.reading import explain, load_many, put_back
from multihost.wire.ops import list as ops

__all__ = ["ListProxy", "normal_slice"]

T = TypeVar("T")

FAR = 1 << 52  # beyond every list, and exact in Lua


def _near(index: SupportsIndex) -> int:
    """Return an index that the server accepts; one that is out of range stays so."""
    return max(-FAR, min(operator.index(index), FAR))


def _sized(index: SupportsIndex) -> int:
    """Return the same for a number that must fit into a C ``ssize_t``, as for a list."""
    number = operator.index(index)
    if not -sys.maxsize - 1 <= number <= sys.maxsize:
        raise OverflowError("Python int too large to convert to C ssize_t")
    return _near(number)


def _index(index: SupportsIndex, what: str) -> int:
    if not hasattr(index, "__index__"):
        raise TypeError(f"{what} indices must be integers or slices, not {type(index).__name__}")
    try:
        return _sized(index)
    except OverflowError:
        raise IndexError(
            f"cannot fit {type(index).__name__!r} into an index-sized integer"
        ) from None


def _element(index: SupportsIndex) -> str:
    return f"element {operator.index(index)}"


def normal_slice(where: slice) -> slice:
    """Return the slice with plain numbers. Raises what a list raises for a bad one."""
    where.indices(0)
    start, stop, step = (
        None if n is None else _near(n) for n in (where.start, where.stop, where.step)
    )
    return slice(start, stop, None if step == 1 else step)


class ListProxy(NativeProxy, stdlib_types.ListProxy[T]):
    """A list that processes on many hosts share.

    >>> l = manager.list([3, 1])
    >>> l.append(2)
    >>> l.sort()

    It has every method of a list; each is atomic. Elements are compared by ``==``.

    **Cost**: one round trip a call. O(1) at both ends, O(distance from the nearer end) to read,
    replace or remove at an index, O(n) for slices and copies. ``index`` and ``remove`` of an
    ``int``, ``str`` or ``bytes`` copy the elements up to it to the calling process, because only
    Python can compare them all; of anything else, or if there is none, the whole list, as ``count``
    and ``in`` do if no element has the very bytes. ``sort`` and ``remove`` take two round trips,
    more in a list of over 100 elements, or if other processes change it.
    **If the holder dies**: the list is unchanged while another process or a container holds it.
    **Differs from multiprocessing**: iteration is over a snapshot, in one round trip. The ``key``
    of ``sort`` runs in the calling process, so it need not be picklable.
    """

    _typeid_ = "list"
    _exposed_ = (
        "__add__",
        "__contains__",
        "__delitem__",
        "__getitem__",
        "__imul__",
        "__len__",
        "__mul__",
        "__reversed__",
        "__rmul__",
        "__setitem__",
        "append",
        "clear",
        "copy",
        "count",
        "extend",
        "index",
        "insert",
        "pop",
        "remove",
        "reverse",
        "sort",
    )

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: Any) -> Any:
        handle = self._handle
        if isinstance(index, slice):
            where = normal_slice(index)
            if where.step is not None:
                found = ops.values(handle)[where]
            else:
                found = ops.values(handle, where.start, where.stop)
            return load_many(self, found, "__getitem__", lambda at: f"element {at} of the slice")
        value = ops.get(handle, _index(index, "list"))
        if value is None:
            raise IndexError("list index out of range")
        try:
            return handle.codec.load(value)
        except Exception as error:  # noqa: BLE001 - classes raise anything when they are unpickled
            explain(error, self, "__getitem__", _element(index))

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, index: Any, value: Any) -> None:
        handle = self._handle
        if not isinstance(index, slice):
            if not ops.put(handle, _index(index, "list"), handle.codec.dump(value)):
                raise IndexError("list assignment index out of range")
            return
        where = normal_slice(index)
        values: list[Any] = []
        if where.step is None:
            values[:] = value_of(
                value
            )  # raises what a list raises for something that is not iterable
            ops.splice(handle, where.start, where.stop, handle.codec.dump_many(values))
            return
        try:
            values.extend(value_of(value))
        except TypeError:
            raise TypeError("must assign iterable to extended slice") from None
        size = ops.set_slice(handle, where, handle.codec.dump_many(values))
        if size is not None:
            raise ValueError(
                f"attempt to assign sequence of size {len(values)} to extended slice of size {size}"
            )

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        handle = self._handle
        if not isinstance(index, slice):
            if not ops.pop(handle, _index(index, "list")):
                raise IndexError("list assignment index out of range")
            return
        where = normal_slice(index)
        if where.step is None:
            ops.splice(handle, where.start, where.stop, ())
        else:
            ops.delete_slice(handle, where)

    def __len__(self) -> int:
        return ops.length(self._handle)

    def __iter__(self) -> Iterator[T]:
        return iter(self.copy())

    def __reversed__(self) -> Iterator[T]:
        return reversed(self.copy())

    def __contains__(self, value: object) -> bool:
        own = self._own_bytes(value)
        if own is not None and ops.position(self._handle, own) is not None:
            return True
        stored = ops.values(self._handle)
        forms = self._handle.codec.equal_bytes(value, stored)
        if forms is not None:
            return not frozenset(forms).isdisjoint(stored)
        return value in load_many(self, stored, "__contains__", _element)

    def _own_bytes(self, value: object) -> bytes | None:
        """Return the bytes of an element that surely equals ``value``; None where there are none.
        Others may be equal, too.
        """
        return self._handle.codec.dump(value) if type(value) in _EQUAL_AS_BYTES else None

    def _first(self, value: object, method: str) -> Callable[[Sequence[bytes]], int | None]:
        """Return what finds the first element that equals ``value``."""

        def find(stored: Sequence[bytes]) -> int | None:
            forms = self._handle.codec.equal_bytes(value, stored)
            if forms is not None:
                found = len(stored)
                for form in forms:
                    with contextlib.suppress(ValueError):
                        found = stored.index(form, 0, found)
                return found if found < len(stored) else None
            for index, element in enumerate(load_many(self, stored, method, _element)):
                if element is value or element == value:
                    return index
            return None

        return find

    def __add__(self, other: list[T]) -> list[T]:
        return self.copy() + other

    def __mul__(self, times: SupportsIndex) -> list[T]:
        return self.copy().__mul__(times)

    def __rmul__(self, times: SupportsIndex) -> list[T]:
        return self.copy().__rmul__(times)

    def __iadd__(self, values: Iterable[T]) -> Self:  # type: ignore[override]
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> Self:  # type: ignore[override]
        [].__imul__(times)  # raises what a list raises for a bad number
        ops.multiply(self._handle, operator.index(times))
        return self

    def append(self, value: T, /) -> None:
        """Append an element. 1 round trip."""
        ops.extend(self._handle, (self._handle.codec.dump(value),))

    def extend(self, values: Iterable[T], /) -> None:
        """Append elements, atomically. 1 round trip, O(values)."""
        elements = [value for value in value_of(values)]  # noqa: C416 - list() trusts length hints
        encoded = self._handle.codec.dump_many(elements)
        if encoded:
            ops.extend(self._handle, encoded)

    def insert(self, index: SupportsIndex, value: T, /) -> None:
        """Insert an element before ``index``. 1 round trip, O(distance from the head)."""
        ops.insert(self._handle, _sized(index), self._handle.codec.dump(value))

    def pop(self, index: SupportsIndex = -1, /) -> T:
        """Remove an element and return it; concurrent callers get different ones. 1 round trip.

        One that cannot be read is put back, to where it was unless other processes changed the
        list meanwhile, and the error raised; ``del`` removes it.
        """
        handle = self._handle
        at = _sized(index)
        value = ops.pop(handle, at)
        if value is None:
            raise IndexError("pop index out of range")
        if not value:
            raise IndexError("pop from empty list")
        try:
            return handle.codec.load(value)  # type: ignore[no-any-return]
        except BaseException as error:  # noqa: BLE001 - put_back() raises it
            restore = functools.partial(ops.put_back, handle, at, value)
            put_back(error, self, "pop", lambda: _element(at), restore)

    def remove(self, value: T, /) -> None:
        """Remove the first element that equals ``value``. 2 round trips, up to 5 in a long list,
        O(n).
        """
        own = self._own_bytes(value)
        if not ops.pop_where(self._handle, own, self._first(value, "remove")):
            raise ValueError("list.remove(x): x not in list")

    def clear(self) -> None:
        """Remove every element. 1 round trip."""
        ops.multiply(self._handle, 0)

    def copy(self) -> list[T]:
        """Return a plain list, a snapshot. 1 round trip, O(n)."""
        return load_many(self, ops.values(self._handle), "copy", _element)

    def count(self, value: T, /) -> int:
        """Return the number of elements that equal ``value``. 1 round trip, O(n)."""
        stored = ops.values(self._handle)
        forms = self._handle.codec.equal_bytes(value, stored)
        if forms is not None:
            return sum(stored.count(form) for form in forms)
        return load_many(self, stored, "count", _element).count(value)

    def index(self, value: T, start: SupportsIndex = 0, stop: SupportsIndex = FAR, /) -> int:
        """Return the index of the first element that equals ``value``. 1 round trip, up to 4 in a
        long list, O(n).
        """
        if (start, stop) != (0, FAR):
            return self.copy().index(value, start, stop)
        own = self._own_bytes(value)
        found = ops.search(self._handle, own, self._first(value, "index"))
        nothing: list[T] = []
        return nothing.index(value) if found is None else found  # raises what a list raises

    def reverse(self) -> None:
        """Reverse the order of the elements. 1 round trip, O(n) on the server."""
        ops.reverse(self._handle)

    def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Sort in place, stable. 2 round trips, O(n log n) in the calling process; again if other
        processes change the list meanwhile.
        """

        def order(elements: Sequence[bytes]) -> list[int]:
            ranks = load_many(self, elements, "sort", _element)
            if key is not None:
                ranks = list(map(key, ranks))
            return sorted(range(len(ranks)), key=ranks.__getitem__, reverse=reverse)

        ops.permute(self._handle, order)

    def _getvalue(self) -> list[T]:
        return self.copy()


# Types whose values are equal if their bytes are.
_EQUAL_AS_BYTES = frozenset((str, bytes, int, bool, type(None)))

MutableSequence.register(ListProxy)
