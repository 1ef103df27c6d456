"""dict, list, set, Namespace, Value and Array."""

from __future__ import annotations

import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from multihost.basemanager import BaseManager
from multihost.factories.arguments import leading_name
from multihost.proxies.array import ArrayProxy, Packing
from multihost.proxies.base import value_of
from multihost.proxies.dict import DictProxy
from multihost.proxies.list import ListProxy
from multihost.proxies.namespace import NamespaceProxy
from multihost.proxies.set import SetProxy
from multihost.proxies.value import ValueProxy
from multihost.wire.ops import array as array_ops
from multihost.wire.ops import dict as dict_ops
from multihost.wire.ops import list as list_ops
from multihost.wire.ops import namespace as namespace_ops
from multihost.wire.ops import set as set_ops
from multihost.wire.ops import value as value_ops

if TYPE_CHECKING:
    from multihost.proxies.dict import Entries

__all__ = ["ContainerFactories"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

IntCode: TypeAlias = Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]
FloatCode: TypeAlias = Literal["f", "d"]
TextCode: TypeAlias = Literal["u", "w"]


class ContainerFactories(BaseManager):
    """A manager of containers and values."""

    @overload
    def dict(self, name: str = ..., /) -> DictProxy[Any, Any]: ...
    @overload
    def dict(self, name: str = ..., /, **kwds: V) -> DictProxy[str, V]: ...
    @overload
    def dict(self, source: Entries[K, V], /) -> DictProxy[K, V]: ...
    @overload
    def dict(self, name: str, source: Entries[K, V], /) -> DictProxy[K, V]: ...
    @overload
    def dict(self, source: Entries[str, V], /, **kwds: V) -> DictProxy[str, V]: ...
    @overload
    def dict(self, name: str, source: Entries[str, V], /, **kwds: V) -> DictProxy[str, V]: ...
    def dict(self, /, *args: Any, **kwds: Any) -> DictProxy[Any, Any]:
        """Return a shared dict: ``dict()``, ``dict({...})``, ``dict("name")``, ``dict("name",
        {...})``. 1 round trip.
        """
        name, args = leading_name(args, True)
        entries: dict[Any, Any] = dict(*map(value_of, args), **kwds)
        return self._create_object(
            DictProxy,
            name,
            lambda handle: dict_ops.create(handle, dict_ops.Entries(handle, entries)),
        )

    @overload
    def list(self, *, name: str | None = None) -> ListProxy[Any]: ...
    @overload
    def list(self, values: Iterable[T], /, *, name: str | None = None) -> ListProxy[T]: ...
    def list(self, *args: Any, name: str | None = None) -> ListProxy[Any]:
        """Return a shared list: ``list()``, ``list([..])``, ``list([..], name="name")``. 1 round
        trip.
        """
        name, args = leading_name(args, self._name_first, name)
        values: Sequence[Any] = list(*map(value_of, args))
        return self._create_object(
            ListProxy, name, lambda handle: list_ops.create(handle, handle.codec.dump_many(values))
        )

    @overload
    def set(self, *, name: str | None = None) -> SetProxy[Any]: ...
    @overload
    def set(self, members: Iterable[T], /, *, name: str | None = None) -> SetProxy[T]: ...
    def set(self, *args: Any, name: str | None = None) -> SetProxy[Any]:
        """Return a shared set: ``set()``, ``set([...])``, ``set([...], name="name")``. 1 round
        trip.
        """
        name, args = leading_name(args, self._name_first, name)
        members = dict.fromkeys(*map(value_of, args)) if len(args) == 1 else set(*args)
        return self._create_object(SetProxy, name, lambda handle: set_ops.create(handle, members))

    def Namespace(self, name: str | None = None, /, **kwds: Any) -> NamespaceProxy:
        """Return a shared namespace: ``Namespace(x=1)``, ``Namespace("name", x=1)``. 1 round
        trip.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Namespace() takes keywords and a name, not {type(name).__name__}")
        fields = list(map(namespace_ops.field_of, kwds))
        return self._create_object(
            NamespaceProxy,
            name,
            lambda handle: namespace_ops.create(
                handle, fields, handle.codec.dump_many(list(kwds.values()), fields)
            ),
        )

    @overload
    def Value(
        self, typecode: IntCode, value: int, lock: bool = ..., *, name: str | None = None
    ) -> ValueProxy[int]: ...
    @overload
    def Value(
        self, typecode: FloatCode, value: float, lock: bool = ..., *, name: str | None = None
    ) -> ValueProxy[float]: ...
    @overload
    def Value(
        self, typecode: str, value: T, lock: bool = ..., *, name: str | None = None
    ) -> ValueProxy[T]: ...
    def Value(
        self,
        typecode: str,
        value: Any,
        lock: bool = True,  # noqa: ARG002 - ignored, as in multiprocessing
        *,
        name: str | None = None,
    ) -> ValueProxy[Any]:
        """Return a shared value: ``Value("i", 0)``. The type code is only shown, it does not limit
        the value; ``lock`` is ignored. 1 round trip.
        """
        return self._create_object(
            ValueProxy,
            name,
            lambda handle: value_ops.create(
                handle, typecode, handle.codec.dump(value, value_ops.VALUE)
            ),
            typecode,
        )

    @overload
    def Array(
        self,
        typecode: IntCode,
        sequence: Iterable[int],
        lock: bool = ...,
        *,
        name: str | None = None,
    ) -> ArrayProxy[int]: ...
    @overload
    def Array(
        self,
        typecode: FloatCode,
        sequence: Iterable[float],
        lock: bool = ...,
        *,
        name: str | None = None,
    ) -> ArrayProxy[float]: ...
    @overload
    def Array(
        self,
        typecode: TextCode,
        sequence: Iterable[str],
        lock: bool = ...,
        *,
        name: str | None = None,
    ) -> ArrayProxy[str]: ...
    @overload
    def Array(
        self, typecode: str, sequence: Iterable[Any], lock: bool = ..., *, name: str | None = None
    ) -> ArrayProxy[Any]: ...
    def Array(
        self,
        typecode: str,
        sequence: Iterable[Any],
        lock: bool = True,  # noqa: ARG002 - ignored, as in multiprocessing
        *,
        name: str | None = None,
    ) -> ArrayProxy[Any]:
        """Return a shared ``array.array``: ``Array("i", [1, 2])``. ``lock`` is ignored. 1 round
        trip.
        """
        items = array.array(typecode, value_of(sequence))
        return self._create_object(
            ArrayProxy,
            name,
            lambda handle: array_ops.create(handle, typecode, Packing(typecode).pack(items)),
            typecode,
        )
