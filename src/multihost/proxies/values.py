"""Namespace, Value and Array."""

from __future__ import annotations

import array
import operator
import sys
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, SupportsIndex, TypeVar, overload

from multihost.proxies.base import NativeProxy, _name, _statistics
from multihost.proxies.list import normal_slice
from multihost.wire.ops import array as array_ops
from multihost.wire.ops import namespace as namespace_ops
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import value as value_ops
from multihost.wire.values.opcodes import INT64

__all__ = ["ArrayProxy", "NamespaceProxy", "Packing", "ValueProxy"]

T = TypeVar("T")


class NamespaceProxy(NativeProxy):
    """Attributes that processes on many hosts share.

    >>> ns = manager.Namespace(x=10, y="hello")
    >>> ns._z = 12.3  # stays with this proxy
    >>> print(ns)
    Namespace(x=10, y='hello')

    A name that starts with an underscore belongs to the proxy, every other one to the shared
    object. So what other proxies call ``name``, ``delete()`` and ``statistics()`` is ``_name``,
    ``_delete()`` and ``_statistics()`` here.

    **Cost**: one round trip for each access.
    **If the holder dies**: nothing happens to a namespace while another process or a container
    holds it.
    **Differs from multiprocessing**: nothing.
    """

    _typeid = "Namespace"
    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__")

    def __getattribute__(self, name: str) -> Any:
        if name[:1] == "_":
            return object.__getattribute__(self, name)
        handle = self._handle
        value = namespace_ops.get(handle, name)
        if value is None:
            raise AttributeError(
                f"'Namespace' object has no attribute '{name}'", name=name, obj=self
            )
        return handle.codec.load(value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:1] == "_":
            object.__setattr__(self, name, value)
        else:
            namespace_ops.put(self._handle, name, self._handle.codec.dump(value))

    def __delattr__(self, name: str) -> None:
        if name[:1] == "_":
            object.__delattr__(self, name)
        elif not namespace_ops.delete(self._handle, name):
            raise AttributeError(
                f"'Namespace' object has no attribute '{name}'", name=name, obj=self
            )

    _name = property(_name)
    _statistics = _statistics

    def _delete(self) -> None:
        object_ops.delete(self._handle)

    def _length(self) -> int:
        return len(namespace_ops.attributes(self._handle))

    def _getvalue(self) -> Any:
        from multiprocessing.managers import Namespace

        codec = self._handle.codec
        found = namespace_ops.attributes(self._handle)
        return Namespace(**{name: codec.load(value) for name, value in found.items()})


class ValueProxy(NativeProxy, Generic[T]):
    """A single value that processes on many hosts share.

    >>> hits = manager.Value("i", 0, name="hits")
    >>> hits.add(1)
    1

    **Cost**: one round trip a call.
    **If the holder dies**: nothing happens to a value while another process or a container holds
    it.
    **Differs from multiprocessing**: ``add`` is atomic; ``v.value += 1`` is not, as there.
    """

    _typeid = "Value"
    _exposed_ = ("get", "set", "add")

    def get(self) -> T:
        """The value. 1 round trip."""
        return self._handle.codec.load(value_ops.get(self._handle))  # type: ignore[no-any-return]

    def set(self, value: T, /) -> None:
        """Replace the value, whatever its type. 1 round trip."""
        value_ops.put(self._handle, self._handle.codec.dump(value))

    value = property(get, set)  # noqa: A003 - the method above

    def add(self, amount: Any = 1, /) -> Any:
        """Add ``amount`` and return the sum. Atomic.

        1 round trip for an ``int`` of at most 64 bits. For other numbers, and in a manager with an
        ``authkey``, 2, and more while others change the value. Raises TypeError if the two cannot
        be added.
        """
        handle = self._handle
        codec = handle.codec
        if codec.counts_on_server and type(amount) is int and -INT64 <= amount < INT64:
            total = value_ops.add(handle, amount)
            if total is not None:
                return total
        while True:
            stored = value_ops.get(handle)
            total = codec.load(stored) + amount
            if value_ops.replace(handle, stored, codec.dump(total)):
                return total

    def _show(self) -> str:
        return f"Value({self._token.parameters!r}, {self.get()!r})"

    def _length(self) -> int:
        value_ops.get(self._handle)
        return 1

    def _getvalue(self) -> Any:
        from multiprocessing.managers import Value  # type: ignore[attr-defined]

        return Value(self._token.parameters, self.get())


class Packing:
    """How the items of an array lie on the server: little-endian, as wide on every host."""

    _WIDTH: ClassVar = {"l": 8, "L": 8, "u": 4, "w": 4}
    _WIDE: ClassVar = {"l": "q", "L": "Q"}

    def __init__(self, typecode: str) -> None:
        self.typecode = typecode
        self.width: int = self._WIDTH.get(typecode) or array.array(typecode).itemsize
        self._native = array.array(typecode).itemsize == self.width

    def pack(self, items: array.array[Any]) -> bytes:
        if not self._native:
            if self.typecode in self._WIDE:
                items = array.array(self._WIDE[self.typecode], items)
            else:
                return items.tounicode().encode("utf-32-le", "surrogatepass")
        if sys.byteorder == "big":
            items = items[:]
            items.byteswap()
        return items.tobytes()

    def unpack(self, packed: bytes) -> array.array[Any]:
        if self._native:
            items = array.array(self.typecode, packed)
            if sys.byteorder == "big":
                items.byteswap()
            return items
        if self.typecode in self._WIDE:
            return array.array(self.typecode, Packing(self._WIDE[self.typecode]).unpack(packed))
        return array.array(self.typecode, packed.decode("utf-32-le", "surrogatepass"))


class ArrayProxy(NativeProxy, Generic[T]):
    """An ``array.array`` that processes on many hosts share.

    >>> a = manager.Array("d", [1.0, 2.0])
    >>> a[0] = 3.5
    >>> a[:]
    array('d', [3.5, 2.0])

    **Cost**: one round trip a call: O(1) for an item, O(n) for a slice.
    **If the holder dies**: nothing happens to an array while another process or a container holds
    it.
    **Differs from multiprocessing**: iteration walks over the items of one moment.
    """

    _typeid = "Array"
    _exposed_ = ("__len__", "__getitem__", "__setitem__")

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self._packing = Packing(self._token.parameters)

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> array.array[Any]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._getvalue()[index]
        item = array_ops.get(self._handle, self._number(index), self._packing.width)
        if item is None:
            raise IndexError("array index out of range")
        return self._packing.unpack(item)[0]

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: array.array[Any]) -> None: ...
    def __setitem__(self, index: Any, value: Any) -> None:
        packing = self._packing
        if not isinstance(index, slice):
            at = self._number(index)
            try:
                item = packing.pack(array.array(packing.typecode, [value]))
            except Exception:  # what an array raises, if the index is good
                if -(size := len(self)) <= at < size:
                    raise
                raise IndexError("array assignment index out of range") from None
            if not array_ops.put(self._handle, at, item):
                raise IndexError("array assignment index out of range")
            return
        where = normal_slice(index)
        array.array(packing.typecode)[:] = value  # the same
        wanted = array_ops.splice(self._handle, where, packing.width, packing.pack(value))
        if wanted is not None:
            raise ValueError(
                f"attempt to assign array of size {len(value)} to extended slice of size {wanted}"
            )

    def __len__(self) -> int:
        return array_ops.length(self._handle, self._packing.width)

    def __iter__(self) -> Iterator[T]:
        return iter(self._getvalue())

    @staticmethod
    def _number(index: SupportsIndex) -> int:
        if not hasattr(index, "__index__"):
            raise TypeError("array indices must be integers")
        number = operator.index(index)
        if not -sys.maxsize - 1 <= number <= sys.maxsize:
            raise IndexError(f"cannot fit {type(index).__name__!r} into an index-sized integer")
        return max(-(1 << 40), min(number, 1 << 40))

    def _getvalue(self) -> array.array[Any]:
        return self._packing.unpack(array_ops.items(self._handle))
