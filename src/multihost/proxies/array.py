"""Array."""

from __future__ import annotations

import array
import operator
import sys
from collections.abc import Iterator
from typing import Any, ClassVar, SupportsIndex, TypeVar, overload

from multihost.errors import BadPayload
from multihost.proxies import stdlib_types
from multihost.proxies.list import normal_slice
from multihost.proxies.native import NativeProxy
from multihost.proxies.reading import explain
from multihost.wire.ops import array as ops

__all__ = ["ArrayProxy", "Packing"]

T = TypeVar("T", int, float, str)  # as array.array


class Packing:
    """The format of array items on the server: little-endian, and of one width on all hosts."""

    _WIDTH: ClassVar = {"l": 8, "L": 8, "u": 4, "w": 4}
    _WIDE: ClassVar = {"l": "q", "L": "Q"}

    def __init__(self, typecode: str) -> None:
        self.typecode = typecode
        self.width: int = self._WIDTH.get(typecode) or array.array(typecode).itemsize
        # Text is decoded: not every number is a character.
        self._native = typecode not in "uw" and array.array(typecode).itemsize == self.width

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
        """Return the items. Raises BadPayload for bytes that are none."""
        try:
            if self._native:
                items = array.array(self.typecode, packed)
                if sys.byteorder == "big":
                    items.byteswap()
                return items
            if self.typecode in self._WIDE:
                return array.array(self.typecode, Packing(self._WIDE[self.typecode]).unpack(packed))
            return array.array(self.typecode, packed.decode("utf-32-le", "surrogatepass"))
        except (AttributeError, TypeError, ValueError) as error:
            raise BadPayload(f"the stored items cannot be read: {error}") from None


class ArrayProxy(NativeProxy, stdlib_types.ArrayProxy[T]):
    """An ``array.array`` that processes on many hosts share.

    >>> a = manager.Array("d", [1.0, 2.0])
    >>> a[0] = 3.5
    >>> a[:]
    array('d', [3.5, 2.0])

    **Cost**: one round trip a call: O(1) for an item, O(n) for a slice.
    **If the holder dies**: the array is unchanged while another process or a container holds it.
    **Differs from multiprocessing**: iteration is over a snapshot.
    """

    _typeid_ = "Array"
    _exposed_ = ("__len__", "__getitem__", "__setitem__")

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        self._packing = Packing(self._token.parameters)

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> array.array[T]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._getvalue()[index]
        item = ops.get(self._handle, self._number(index), self._packing.width)
        if item is None:
            raise IndexError("array index out of range")
        try:
            return self._packing.unpack(item)[0]
        except BadPayload as error:
            explain(error, self, "__getitem__", f"the item {index}")

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: array.array[T]) -> None: ...
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
            if not ops.put(self._handle, at, item):
                raise IndexError("array assignment index out of range")
            return
        where = normal_slice(index)
        array.array(packing.typecode)[:] = value  # the same
        wanted = ops.splice(self._handle, where, packing.width, packing.pack(value))
        if wanted is not None:
            raise ValueError(
                f"attempt to assign array of size {len(value)} to extended slice of size {wanted}"
            )

    def __len__(self) -> int:
        return ops.length(self._handle, self._packing.width)

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

    def _getvalue(self) -> array.array[T]:
        packed = ops.items(self._handle)
        try:
            return self._packing.unpack(packed)
        except BadPayload as error:
            explain(error, self, "__getitem__", "its items")
