"""The shared set."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, MutableSet
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Self, TypeVar

from multihost.proxies import stdlib_types
from multihost.proxies.base import value_of
from multihost.proxies.native import NativeProxy
from multihost.proxies.reading import load_keys, put_back, shown_field
from multihost.wire.ops import set as ops

__all__ = ["SetProxy"]

T = TypeVar("T")


def _is_set(other: object) -> bool:
    return isinstance(other, (set, frozenset))


def _frozen(member: object) -> object:
    """Return the frozenset for a set, which it equals as a member."""
    if isinstance(member, set) and type(member).__hash__ is None:
        return frozenset(member)
    return member


class SetProxy(NativeProxy, stdlib_types.SetProxy[T]):
    """A set that processes on many hosts share.

    >>> s = manager.set("abc")
    >>> s.discard("a")
    >>> s | {"d"}
    {'b', 'c', 'd'}

    It has every method of a set; each is atomic. Operators return plain sets, and in-place
    operators the proxy.

    **Cost**: one round trip a call. O(1) for a member, O(n) to read all, O(given) for updates.
    **If the holder dies**: the set is unchanged while another process or a container holds it.
    **Differs from multiprocessing**: exists on every Python, not only from 3.14 on. A proxy cannot
    be a member. The ``__eq__`` of a class of yours never runs: see :class:`DictProxy`.
    """

    _typeid_ = "set"
    _exposed_ = (
        "__and__",
        "__contains__",
        "__ge__",
        "__gt__",
        "__iand__",
        "__ior__",
        "__isub__",
        "__iter__",
        "__ixor__",
        "__le__",
        "__len__",
        "__lt__",
        "__or__",
        "__rand__",
        "__ror__",
        "__rsub__",
        "__rxor__",
        "__sub__",
        "__xor__",
        "add",
        "clear",
        "copy",
        "difference",
        "difference_update",
        "discard",
        "intersection",
        "intersection_update",
        "isdisjoint",
        "issubset",
        "issuperset",
        "pop",
        "remove",
        "symmetric_difference",
        "symmetric_difference_update",
        "union",
        "update",
        "add_new",
        "update_new",
    )
    _method_to_typeid_ = MappingProxyType({"__iter__": "Iterator"})

    def __contains__(self, member: object) -> bool:
        return ops.contains(self._handle, self._handle.codec.field(_frozen(member)))

    def __len__(self) -> int:
        return ops.length(self._handle)

    def __iter__(self) -> Iterator[T]:
        return iter(load_keys(self, *ops.fields(self._handle), "__iter__"))

    def copy(self) -> set[T]:
        """Return a plain set, a snapshot. 1 round trip, O(n)."""
        return set(load_keys(self, *ops.fields(self._handle), "copy"))

    # one member

    def add(self, member: T, /) -> None:
        """Add a member. 1 round trip."""
        ops.update(self._handle, (member,))

    def add_new(self, member: T, /) -> bool:
        """Add a member; return whether it is new: of concurrent callers one is the first.

        >>> if seen.add_new(url):
        ...     fetch(url)

        Atomic. 1 round trip.
        """
        return ops.update_new(self._handle, (member,))[0]

    def discard(self, member: object, /) -> None:
        """Remove a member, if there is one. 1 round trip."""
        ops.remove(self._handle, (_frozen(member),))

    def remove(self, member: object, /) -> None:
        """Remove a member. Raises KeyError if there is none. 1 round trip."""
        if not ops.remove(self._handle, (_frozen(member),)):
            raise KeyError(member)

    def pop(self) -> T:
        """Remove any member and return it; concurrent callers get different ones. 1 round trip.

        One that cannot be read is put back, and the error raised.
        """
        handle = self._handle
        found = ops.pop(handle)
        if found is None:
            raise KeyError("pop from an empty set")
        field, original = found
        try:
            return handle.codec.key(field, original)  # type: ignore[no-any-return]
        except BaseException as error:  # noqa: BLE001 - put_back() raises it
            restore = functools.partial(ops.put_back, handle, field, original)
            put_back(error, self, "pop", lambda: f"the member {shown_field(field)}", restore)

    def clear(self) -> None:
        """Remove every member. 1 round trip."""
        ops.clear(self._handle)

    # plain sets as results

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """Return the union, a plain set. 1 round trip, O(n)."""
        return self.copy().union(*map(value_of, others))

    def intersection(self, *others: Iterable[Any]) -> set[T]:
        """Return the intersection, a plain set. 1 round trip, O(n)."""
        return self.copy().intersection(*map(value_of, others))

    def difference(self, *others: Iterable[Any]) -> set[T]:
        """Return the difference, a plain set. 1 round trip, O(n)."""
        return self.copy().difference(*map(value_of, others))

    def symmetric_difference(self, other: Iterable[Any], /) -> set[Any]:
        """Return the members of exactly one of the two, a plain set. 1 round trip, O(n)."""
        return self.copy().symmetric_difference(value_of(other))

    def isdisjoint(self, other: Iterable[Any], /) -> bool:
        """Return whether the two have no common member. 1 round trip, O(n)."""
        return self.copy().isdisjoint(value_of(other))

    def issubset(self, other: Iterable[Any], /) -> bool:
        """Return whether the other has every member. 1 round trip, O(n)."""
        return self.copy().issubset(value_of(other))

    def issuperset(self, other: Iterable[Any], /) -> bool:
        """Return whether the set has every member of the other. 1 round trip, O(n)."""
        return self.copy().issuperset(value_of(other))

    # changes

    def update(self, *others: Iterable[T]) -> None:
        """Add the members of all others, atomically. 1 round trip, O(given)."""
        members = dict.fromkeys(member for other in others for member in value_of(other))
        if members:
            ops.update(self._handle, members)

    def update_new(self, *others: Iterable[T]) -> list[T]:
        """Add the members of all others, atomically; return those that are new. 1 round trip,
        O(given).
        """
        members = dict.fromkeys(member for other in others for member in value_of(other))
        if not members:
            return []
        return list(itertools.compress(members, ops.update_new(self._handle, members)))

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep only the members that are in all others. 1 round trip, O(n + given)."""
        if others:
            first, *rest = map(value_of, others)
            ops.intersect(self._handle, set(first).intersection(*rest))

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the members that are in any other. 1 round trip, O(given)."""
        members = {member for other in others for member in value_of(other)}
        if members:
            ops.remove(self._handle, members)

    def symmetric_difference_update(self, other: Iterable[T], /) -> None:
        """Remove the members of both, add those of the other only. 1 round trip, O(given)."""
        members = dict.fromkeys(value_of(other))
        if members:
            ops.symmetric_difference(self._handle, members)

    # operators: with plain sets only, as between plain sets

    def __and__(self, other: AbstractSet[Any]) -> set[T]:
        return self.copy() & other if _is_set(other) else NotImplemented

    def __or__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.copy() | other if _is_set(other) else NotImplemented

    def __sub__(self, other: AbstractSet[Any]) -> set[T]:
        return self.copy() - other if _is_set(other) else NotImplemented

    def __xor__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.copy() ^ other if _is_set(other) else NotImplemented

    def __rand__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other & self.copy() if _is_set(other) else NotImplemented

    def __ror__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other | self.copy() if _is_set(other) else NotImplemented

    def __rsub__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other - self.copy() if _is_set(other) else NotImplemented

    def __rxor__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other ^ self.copy() if _is_set(other) else NotImplemented

    def __iand__(self, other: Any) -> Self:  # type: ignore[misc]
        if not _is_set(value_of(other)):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        if not _is_set(value_of(other)):
            return NotImplemented
        self.update(other)
        return self

    def __isub__(self, other: Any) -> Self:  # type: ignore[misc]
        if not _is_set(value_of(other)):
            return NotImplemented
        self.difference_update(other)
        return self

    def __ixor__(self, other: Any) -> Self:  # type: ignore[misc]
        if not _is_set(value_of(other)):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    def __le__(self, other: Any) -> bool:
        return self.copy() <= value_of(other) if _is_set(value_of(other)) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return self.copy() < value_of(other) if _is_set(value_of(other)) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return self.copy() >= value_of(other) if _is_set(value_of(other)) else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return self.copy() > value_of(other) if _is_set(value_of(other)) else NotImplemented

    def _getvalue(self) -> set[T]:
        return self.copy()


MutableSet.register(SetProxy)
