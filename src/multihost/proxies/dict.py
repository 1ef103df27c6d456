"""The shared dict."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar, overload

from multihost.proxies import stdlib_types
from multihost.proxies.base import value_of
from multihost.proxies.native import NativeProxy
from multihost.proxies.reading import (
    explain,
    explained,
    load_entries,
    load_keys,
    load_values,
    put_back,
    value_of_field,
    value_of_key,
)
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


class DictProxy(NativeProxy, stdlib_types.DictProxy[K, V]):
    """A dict that processes on many hosts share.

    >>> d = manager.dict()
    >>> d["a"] = 1
    >>> d.increment("a")
    2

    It has every method of a dict, in insertion order; each is atomic. ``d[k]`` returns a copy of
    the value: change it and assign it again, or store a proxy in the dict.

    **Cost**: one round trip a call. O(1) to read or overwrite, O(log n) to add or remove, O(n) for
    ``copy``, ``keys``, ``values``, ``items`` and iteration. One more round trip to store proxies in
    a dict that has a name, or is in such a one; more if what they stand for contains others.
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
        "add_new",
        "update_new",
    )
    _method_to_typeid_ = MappingProxyType({"__iter__": "Iterator", "__reversed__": "Iterator"})

    def __getitem__(self, key: K) -> V:
        handle = self._handle
        field = handle.codec.field(key)
        value = ops.get(handle, field)
        if value is None:
            raise KeyError(key)
        try:
            return handle.codec.load(value, field)  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 - classes raise anything when they are unpickled
            explain(error, self, "__getitem__", value_of_key(key))

    def __setitem__(self, key: K, value: V) -> None:
        handle = self._handle
        field, original = handle.codec.canonical_field(key)
        ops.put(handle, field, handle.codec.dump(value, field), original)

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
        field = handle.codec.field(key)
        value = ops.get(handle, field)
        if value is None:
            return default
        with explained(self, "get", lambda: value_of_key(key)):
            return handle.codec.load(value, field)

    def keys(self) -> list[K]:  # type: ignore[override]
        """Return a list of the keys, in insertion order. 1 round trip, O(n)."""
        return load_keys(self, *ops.fields(self._handle), "keys")

    def values(self) -> list[V]:  # type: ignore[override]
        """Return a list of the values, in insertion order. 1 round trip, O(n)."""
        return load_values(self, *ops.entries(self._handle), "values")

    def items(self) -> list[tuple[K, V]]:  # type: ignore[override]
        """Return a list of the entries, in insertion order. 1 round trip, O(n)."""
        fields, originals, values = ops.entries(self._handle)
        keys = load_keys(self, fields, originals, "items")
        loaded: list[V] = load_values(self, fields, originals, values, "items")
        return list(zip(keys, loaded, strict=True))

    def copy(self) -> dict[K, V]:
        """Return a plain dict, a snapshot. 1 round trip, O(n)."""
        return load_entries(self, *ops.entries(self._handle), "copy")

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
        stored = handle.codec.dump(default, field)
        value = ops.setdefault(handle, field, stored, original)
        with explained(self, "setdefault", lambda: value_of_key(key)):
            return handle.codec.load(stored if value is None else value, field)

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, default: V, /) -> V: ...
    @overload
    def pop(self, key: K, default: D, /) -> V | D: ...
    def pop(self, key: K, default: Any = _MISSING, /) -> Any:
        """Remove ``key`` and return its value, or ``default``. Only one of several concurrent
        callers gets the value. 1 round trip.

        A value that cannot be read is put back, as the last one, and the error raised; ``del``
        removes it.
        """
        handle = self._handle
        codec = handle.codec
        field = codec.field(key)
        value = ops.pop(handle, field)
        if value is not None:
            try:
                return codec.load(value, field)
            except BaseException as error:  # noqa: BLE001 - put_back() raises it
                _, original = codec.canonical_field(key)
                restore = functools.partial(ops.put_back, handle, field, original, value)
                put_back(error, self, "pop", lambda: value_of_key(key), restore)
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove and return the entry that was inserted last. 1 round trip.

        One that cannot be read is put back, and the error raised.
        """
        handle = self._handle
        codec = handle.codec
        entry = ops.popitem(handle)
        if entry is None:
            raise KeyError("popitem(): dictionary is empty")
        field, original, value = entry
        try:
            return codec.key(field, original), codec.load(value, field)
        except BaseException as error:  # noqa: BLE001 - put_back() raises it
            restore = functools.partial(ops.put_back, handle, field, original, value)
            what = functools.partial(value_of_field, self, field, original)
            put_back(error, self, "popitem", what, restore)

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

    def add_new(self, key: K, value: V) -> bool:
        """Store an entry unless the dict has the key; return whether it was stored: of concurrent
        callers one is the first.

        >>> if claims.add_new(job, me):
        ...     work(job)

        Atomic. 1 round trip; two more if it stores a proxy in a dict that has a name.
        """
        return ops.update_new(self._handle, ops.Entries(self._handle, {key: value}))[0]

    @overload
    def update_new(self, source: Entries[K, V], /) -> list[K]: ...
    @overload
    def update_new(self: DictProxy[str, V], source: Entries[str, V], /, **kwds: V) -> list[str]: ...
    @overload
    def update_new(self: DictProxy[str, V], /, **kwds: V) -> list[str]: ...
    def update_new(self, /, *args: Any, **kwds: Any) -> list[Any]:
        """Store those entries, given as to :meth:`update`, whose keys the dict does not have;
        return their keys. Atomic. 1 round trip, O(entries).
        """
        entries: dict[Any, Any] = {}
        entries.update(*map(value_of, args), **kwds)
        if not entries:
            return []
        stored = ops.update_new(self._handle, ops.Entries(self._handle, entries))
        return list(itertools.compress(entries, stored))

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
            total = amount if stored is None else self._number(key, stored, field) + amount
            if ops.replace(handle, field, stored or b"", codec.dump(total, field), original):
                return total

    def _number(self, key: K, stored: bytes, field: bytes) -> Any:
        with explained(self, "increment", lambda: value_of_key(key)):
            return self._handle.codec.load(stored, field)

    def _getvalue(self) -> dict[K, V]:
        return self.copy()


MutableMapping.register(DictProxy)
