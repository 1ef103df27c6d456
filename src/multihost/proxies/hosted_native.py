"""The proxy types of this package for objects that a process hosts: ``register("Parts", Parts,
DictProxy)`` gives proxies with the methods of a DictProxy, each of which calls that process.
Those of the standard library are in ``hosted_stdlib``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, TypeGuard

from multihost.proxies.acquirer import AcquirerProxy
from multihost.proxies.base import (
    AutoProxy,
    BaseProxy,
    Token,
    call_proxytype,
    forwarder,
    with_origin,
)
from multihost.proxies.condition import ConditionProxy
from multihost.proxies.hosted_stdlib import adapted
from multihost.proxies.namespace import NamespaceProxy
from multihost.proxies.native import NativeProxy
from multihost.proxies.value import ValueProxy

__all__ = ["hosted_type", "make_proxy"]

ProxyType = Callable[..., BaseProxy]


def make_proxy(registered: ProxyType | None, exposed: Any, token: Token, manager: Any) -> BaseProxy:
    """Return a proxy of the type that was registered, by default an AutoProxy."""
    return call_proxytype(hosted_type(registered or AutoProxy), exposed, token, manager)


_hosted_types: dict[type, type[BaseProxy]] = {}


def hosted_type(registered: ProxyType) -> ProxyType:
    """Return the proxy type for an object that a process hosts, for the registered one.

    That is the registered one, but for a native type, or a subclass of one that a user wrote. It
    gets a subclass with the methods of that user, and calls to the process in place of the native
    ones. One of the standard library is adapted.
    """
    if isinstance(registered, functools.partial):
        proxytype = hosted_type(registered.func)
        return functools.partial(proxytype, *registered.args, **registered.keywords)
    if not _is_native(registered):
        return adapted(registered)
    if registered not in _hosted_types:
        native = next(cls for cls in registered.__mro__ if "_typeid_" in vars(cls))
        hosted = _hosted_types.setdefault(native, _subclass(native))
        if registered is not native:
            body = {"_registered_": registered, "__module__": registered.__module__}
            _hosted_types[registered] = type(registered.__name__, (registered, hosted), body)
    return _hosted_types[registered]


def _is_native(proxytype: ProxyType) -> TypeGuard[type[NativeProxy]]:
    return isinstance(proxytype, type) and issubclass(proxytype, NativeProxy)


def rebuild(
    registered: type[NativeProxy], token: Token, inherited: bytes | None = None
) -> BaseProxy:
    """Return a proxy for a pickle of one."""
    return call_proxytype(hosted_type(registered), None, with_origin(token, inherited), None)


# -- the body of such a subclass


class _HostedNamespace(NamespaceProxy):
    """Attributes of an object that a process hosts."""

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            return object.__getattribute__(self, name)  # raises the AttributeError
        return self._callmethod("__getattribute__", (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:1] == "_":
            object.__setattr__(self, name, value)
        else:
            self._callmethod("__setattr__", (name, value))

    def __delattr__(self, name: str) -> None:
        if name[:1] == "_":
            object.__delattr__(self, name)
        else:
            self._callmethod("__delattr__", (name,))


def _attribute(name: str) -> property:
    return property(lambda self: self._callmethod("__getattribute__", (name,)))


def _in_place(name: str) -> Any:
    def method(self: BaseProxy, other: Any) -> BaseProxy:
        self._callmethod(name, (other,))
        return self

    method.__name__ = name
    return method


def _extend(self: Any, other: Any) -> Any:
    self._callmethod("extend", (other,))
    return self


def _iterate_by_index(self: Any) -> Iterator[Any]:
    """Iterate as over any object that has ``__getitem__`` and no ``__iter__``."""
    index = 0
    while True:
        try:
            item = self[index]
        except IndexError:
            return
        yield item
        index += 1


def _reduce(self: Any) -> tuple[ProxyType, tuple[Any, ...]]:
    return rebuild, (self._registered_, *self._reference())


IN_PLACE = {f"__i{name}__" for name in ["add", "sub", "mul", "and", "or", "xor", "concat"]}
NOT_FORWARDED = {"__init__", "__module__", "__class_getitem__"}
SPECIAL: dict[type, dict[str, Any]] = {
    ValueProxy: {"value": property(lambda self: self.get(), lambda self, value: self.set(value))},
    ConditionProxy: {"wait_for": ConditionProxy.wait_for},
    AcquirerProxy: {
        name: vars(AcquirerProxy)[name] for name in ("acquire", "release", "__enter__", "__exit__")
    },
}


def _forwarders(native: type[NativeProxy]) -> dict[str, Any]:
    """Return the methods and properties of a native proxy type as calls to a process."""
    body: dict[str, Any] = {}
    for cls in reversed(native.__mro__[: native.__mro__.index(NativeProxy)]):
        for name, value in vars(cls).items():
            if isinstance(value, property):
                body[name] = _attribute(name)
            elif isinstance(value, FunctionType) and _is_forwarded(name):
                body[name] = _in_place(name) if name in IN_PLACE else forwarder(name)
    if "__iadd__" in body and "extend" in body:
        body["__iadd__"] = _extend
    if "__iter__" in body and "__iter__" not in native._exposed_:
        body["__iter__"] = _iterate_by_index
    return body


def _is_forwarded(name: str) -> bool:
    is_private = name[:1] == "_" and name[:2] != "__"
    return not is_private and name not in NOT_FORWARDED


def _subclass(native: type[NativeProxy]) -> type[BaseProxy]:
    """Return a subclass of a native proxy type whose methods are calls to a process."""
    is_namespace = native is NamespaceProxy
    body = {} if is_namespace else _forwarders(native)
    for name, value in vars(NativeProxy).items():
        if isinstance(value, FunctionType):
            body[name] = vars(BaseProxy)[name]
    for cls, special in SPECIAL.items():
        if issubclass(native, cls):
            body.update(special)
    body.update(__reduce__=_reduce, _registered_=native)
    return type(native.__name__, (_HostedNamespace if is_namespace else native,), body)
