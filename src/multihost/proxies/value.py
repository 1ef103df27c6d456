"""Value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from multihost.proxies import stdlib_types
from multihost.proxies.native import NativeProxy
from multihost.proxies.reading import explain, explained
from multihost.wire.ops import value as ops
from multihost.wire.values.opcodes import INT64

__all__ = ["ValueProxy"]

T = TypeVar("T")


class ValueProxy(NativeProxy, stdlib_types.ValueProxy[T]):
    """A single value that processes on many hosts share.

    >>> hits = manager.Value("i", 0, name="hits")
    >>> hits.add(1)
    1

    **Cost**: one round trip a call.
    **If the holder dies**: the value is unchanged while another process or a container holds it.
    **Differs from multiprocessing**: has the atomic ``add``; ``v.value += 1`` is not atomic in
    either.
    """

    _typeid_ = "Value"
    _exposed_ = ("get", "set", "add")

    def get(self) -> T:
        """Return the value. 1 round trip."""
        handle = self._handle
        stored = ops.get(handle)
        try:
            return handle.codec.load(stored, ops.VALUE)  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 - classes raise anything when they are unpickled
            explain(error, self, "get", "the value")

    def set(self, value: T, /) -> None:
        """Replace the value, whatever its type. 1 round trip."""
        ops.put(self._handle, self._handle.codec.dump(value, ops.VALUE))

    if TYPE_CHECKING:

        @property
        def value(self) -> T:
            """The value. 1 round trip."""

        @value.setter
        def value(self, value: T) -> None: ...
    else:  # which is one call less
        value = property(get, set)  # noqa: A003 - the method above

    @overload
    def add(self, /) -> T: ...
    @overload
    def add(self, amount: T, /) -> T: ...
    @overload
    def add(self, amount: Any, /) -> Any: ...
    def add(self, amount: Any = 1, /) -> Any:
        """Add ``amount`` and return the sum. Atomic.

        1 round trip for an ``int`` of at most 64 bits. For other numbers, and in a manager with an
        ``authkey``, 2, and more if other processes change the value at the same time. Raises
        TypeError if the two cannot be added.
        """
        handle = self._handle
        codec = handle.codec
        if codec.counts_on_server and type(amount) is int and -INT64 <= amount < INT64:
            total = ops.add(handle, amount)
            if total is not None:
                return total
        while True:
            stored = ops.get(handle)
            with explained(self, "add", lambda: "the value"):
                value = codec.load(stored, ops.VALUE)
            total = value + amount
            if ops.replace(handle, stored, codec.dump(total, ops.VALUE)):
                return total

    def _show(self) -> str:
        return f"Value({self._token.parameters!r}, {self.get()!r})"

    def _length(self) -> int:
        ops.get(self._handle)
        return 1

    def _getvalue(self) -> Any:
        from multiprocessing.managers import Value  # type: ignore[attr-defined]

        return Value(self._token.parameters, self.get())
