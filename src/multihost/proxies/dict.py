"""The shared dict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeAlias, TypeVar, overload

from multihost.proxies.base import value_of
from multihost.proxies.native import NativeProxy
from multihost.wire.ops import dict as ops
from multihost.wire.values.opcodes import INT64

__all__ = ["DictProxy"]

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")  # another type of keys
D = TypeVar("D")  # another type of values
V_co = TypeVar("V_co", covariant=True)


_MISSING: Any = object()


if TYPE_CHECKING:

    class KeysAndGetItem(Protocol[K, V_co]):
        """What ``dict()`` takes for a mapping."""

        def keys(self) -> Iterable[K]: ...
        def __getitem__(self, key: K, /) -> V_co: ...

    Entries: TypeAlias = KeysAndGetItem[K, V] | Iterable[tuple[K, V]]
    Base = MutableMapping
else:  # which is registered as one, below, and inherits nothing
    Base = Generic


class DictProxy(NativeProxy, Base[K, V]):
    """A dict that processes on many hosts share.

    >>> d = manager.dict()
    >>> d["a"] = 1
    >>> d.increment("a")
    2

    It has every method of a dict, in insertion order; each is atomic. ``d[k]`` returns a copy of
    the value: change it and assign it again, or store a proxy in the dict.

    **Cost**: one round trip a call. O(1) to read or overwrite, O(log n) to add or remove, O(n) for
    ``copy``, ``keys``, ``values``, ``items`` and iteration. Two more round trips for each proxy
    that is stored in a persistent dict.
    **If the holder dies**: the dict is unchanged while another process or a container holds it.
    **Differs from multiprocessing**: iteration is over a snapshot of the keys, also in child
    processes; it does not raise if the dict changes. Equal keys are one key, but the ``__eq__`` of
    a class of yours never runs: its objects are one key if their state is equal. TypeError for a
    class that overrides the ``__eq__`` of a base whose equality is known, as ``str``; it may say
    what its keys equal by a method ``__multihost_key__``.
    """

    _typeid_ = "dict"
    _exposed_ = (
        "__contains__",
        "__delitem__",
        "__getitem__",
        "__ior__",
        "__iter__",
        "__len__",
        "__or__",
        "__reversed__",
        "__ror__",
        "__setitem__",
        "clear",
        "copy",
        "fromkeys",
        "get",
        "items",
        "keys",
        "pop",
        "popitem",
        "setdefault",
        "update",
        "values",
        "increment",
    )
    _method_to_typeid_ = MappingProxyType({"__iter__": "Iterator", "__reversed__": "Iterator"})

    def __getitem__(self, key: K) -> V:
        handle = self._handle
        value = ops.get(handle, handle.codec.field(key))
        if value is None:
            raise KeyError(key)
        return handle.codec.load(value)  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        handle = self._handle
        field, original = handle.codec.canonical_field(key)
        ops.put(handle, field, handle.codec.dump(value), original)

    def __delitem__(self, key: K) -> None:
        if not ops.delete(self._handle, self._handle.codec.field(key)):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return ops.contains(self._handle, self._handle.codec.field(key))

    def __len__(self) -> int:
        return ops.length(self._handle)

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __reversed__(self) -> Iterator[K]:
        return reversed(self.keys())

    @overload
    def get(self, key: K, default: None = None, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    @overload
    def get(self, key: K, default: D, /) -> V | D: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        """Return the value of ``key``, or ``default``. 1 round trip."""
        handle = self._handle
        value = ops.get(handle, handle.codec.field(key))
        return default if value is None else handle.codec.load(value)

    def keys(self) -> list[K]:  # type: ignore[override]
        """Return a list of the keys, in insertion order. 1 round trip, O(n)."""
        return self._handle.codec.keys(ops.fields(self._handle))

    def values(self) -> list[V]:  # type: ignore[override]
        """Return a list of the values, in insertion order. 1 round trip, O(n)."""
        return self._handle.codec.load_many(ops.entries(self._handle)[1])

    def items(self) -> list[tuple[K, V]]:  # type: ignore[override]
        """Return a list of the entries, in insertion order. 1 round trip, O(n)."""
        codec = self._handle.codec
        fields, values = ops.entries(self._handle)
        return list(zip(codec.keys(fields), codec.load_many(values), strict=True))

    def copy(self) -> dict[K, V]:
        """Return a plain dict, a snapshot. 1 round trip, O(n)."""
        return self._handle.codec.load_dict(*ops.entries(self._handle))

    @overload
    def setdefault(self: DictProxy[K, D | None], key: K, default: None = None, /) -> D | None: ...
    @overload
    def setdefault(self, key: K, default: V, /) -> V: ...
    def setdefault(self, key: K, default: Any = None, /) -> Any:
        """Return the value of ``key``; if there is none, store ``default`` and return it. Atomic. 1
        round trip.
        """
        handle = self._handle
        field, original = handle.codec.canonical_field(key)
        stored = handle.codec.dump(default)
        value = ops.setdefault(handle, field, stored, original)
        return handle.codec.load(stored if value is None else value)

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, default: V, /) -> V: ...
    @overload
    def pop(self, key: K, default: D, /) -> V | D: ...
    def pop(self, key: K, default: Any = _MISSING, /) -> Any:
        """Remove ``key`` and return its value, or ``default``. Only one of several concurrent
        callers gets the value. 1 round trip.
        """
        handle = self._handle
        value = ops.pop(handle, handle.codec.field(key))
        if value is not None:
            return handle.codec.load(value)
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove and return the entry that was inserted last. 1 round trip."""
        codec = self._handle.codec
        entry = ops.popitem(self._handle)
        if entry is None:
            raise KeyError("popitem(): dictionary is empty")
        return codec.key(entry[0]), codec.load(entry[1])

    @overload
    def update(self, source: Entries[K, V], /) -> None: ...
    @overload
    def update(self: DictProxy[str, V], source: Entries[str, V], /, **kwds: V) -> None: ...
    @overload
    def update(self: DictProxy[str, V], /, **kwds: V) -> None: ...
    def update(self, /, *args: Any, **kwds: Any) -> None:
        """Store entries from a mapping, from pairs and from keywords, atomically. 1 round trip,
        O(entries).
        """
        entries: dict[Any, Any] = {}
        entries.update(*map(value_of, args), **kwds)
        if entries:
            ops.update(self._handle, ops.Entries(self._handle, entries))

    def clear(self) -> None:
        """Remove every entry. 1 round trip."""
        ops.clear(self._handle)

    @overload
    def fromkeys(self, iterable: Iterable[A], value: None = None, /) -> dict[A, Any | None]: ...
    @overload
    def fromkeys(self, iterable: Iterable[A], value: D, /) -> dict[A, D]: ...
    def fromkeys(self, iterable: Iterable[Any], value: Any = None, /) -> dict[Any, Any]:
        """Return a plain dict with these keys, as ``dict.fromkeys``. No round trip."""
        return dict.fromkeys(iterable, value)

    def __or__(self, other: dict[A, D]) -> dict[K | A, V | D]:
        return self.copy() | other if isinstance(other, dict) else NotImplemented  # type: ignore[redundant-expr]

    def __ror__(self, other: dict[A, D]) -> dict[K | A, V | D]:
        return other | self.copy() if isinstance(other, dict) else NotImplemented  # type: ignore[redundant-expr]

    def __ior__(self, other: Entries[K, V]) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    @overload
    def increment(self, key: K) -> V: ...
    @overload
    def increment(self, key: K, amount: V) -> V: ...
    @overload
    def increment(self, key: K, amount: Any) -> Any: ...
    def increment(self, key: K, amount: Any = 1) -> Any:
        """Add ``amount`` to the value of ``key`` and return the sum; a missing key counts as 0.
        Atomic.

        >>> hits.increment("page", 2)

        1 round trip for an ``int`` of at most 64 bits. For other numbers, and in a manager with an
        ``authkey``, 2, and more if other processes change the same entry at the same time. Raises
        TypeError if the two cannot be added.
        """
        handle = self._handle
        codec = handle.codec
        field, original = codec.canonical_field(key)
        if codec.counts_on_server and type(amount) is int and -INT64 <= amount < INT64:
            total = ops.increment(handle, field, amount, original)
            if total is not None:
                return total
        while True:
            stored = ops.get(handle, field)
            total = amount if stored is None else codec.load(stored) + amount
            if ops.replace(handle, field, stored or b"", codec.dump(total), original):
                return total

    def _getvalue(self) -> dict[K, V]:
        return self.copy()


MutableMapping.register(DictProxy)
