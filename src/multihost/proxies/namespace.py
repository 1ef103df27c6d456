"""Namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multihost.proxies import stdlib_types
from multihost.proxies.base import Absent
from multihost.proxies.native import NativeProxy
from multihost.proxies.reading import explain, load_many
from multihost.wire.ops import namespace as ops

__all__ = ["NamespaceProxy"]


class NamespaceProxy(NativeProxy, stdlib_types.NamespaceProxy):
    """Attributes that processes on many hosts share.

    >>> ns = manager.Namespace(x=10, y="hello")
    >>> ns._z = 12.3  # stays with this proxy
    >>> print(ns)
    Namespace(x=10, y='hello')

    A name that starts with an underscore belongs to the proxy, every other one to the shared
    object. So ``name``, ``delete()`` and ``statistics()`` of other proxies are ``_name``,
    ``_delete()`` and ``_statistics()`` of this one.

    **Cost**: one round trip for each access.
    **If the holder dies**: the namespace is unchanged while another process or a container holds
    it.
    **Differs from multiprocessing**: nothing.
    """

    if TYPE_CHECKING:  # attributes of the shared object, as any other
        name: Any
        delete: Any
        statistics: Any
    else:
        name, delete, statistics = Absent(), Absent(), Absent()

    _typeid_ = "Namespace"
    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__")

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            return object.__getattribute__(self, name)  # raises the AttributeError
        handle, field = self._handle, ops.field_of(name)
        value = ops.get(handle, field)
        if value is None:
            raise AttributeError(
                f"'Namespace' object has no attribute '{name}'", name=name, obj=self
            )
        try:
            return handle.codec.load(value, field)
        except Exception as error:  # noqa: BLE001 - classes raise anything when they are unpickled
            explain(error, self, "__getattr__", f"the attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:1] == "_":
            object.__setattr__(self, name, value)
        else:
            handle, field = self._handle, ops.field_of(name)
            ops.put(handle, field, handle.codec.dump(value, field))

    def __delattr__(self, name: str) -> None:
        if name[:1] == "_":
            object.__delattr__(self, name)
        elif not ops.delete(self._handle, ops.field_of(name)):
            raise AttributeError(
                f"'Namespace' object has no attribute '{name}'", name=name, obj=self
            )

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        if methodname == "__getattribute__":
            return getattr(self, *args)
        return super()._callmethod(methodname, args, kwds)

    def _length(self) -> int:
        return len(ops.attributes(self._handle))

    def _getvalue(self) -> Any:
        from multiprocessing.managers import Namespace

        found = ops.attributes(self._handle)
        fields, stored = list(found), list(found.values())
        names = list(map(ops.name_of, fields))
        values = load_many(
            self, stored, "_getvalue", lambda at: f"the attribute {names[at]!r}", fields
        )
        return Namespace(**dict(zip(names, values, strict=True)))
