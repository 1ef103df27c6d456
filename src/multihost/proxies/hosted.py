"""Proxies of objects that a process hosts: made for what they expose, or like those of the server's
own objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from multihost.proxies import base
from multihost.proxies.base import BaseProxy, NativeProxy, Token
from multihost.proxies.condition import ConditionProxy
from multihost.proxies.lock import AcquirerProxy
from multihost.proxies.values import NamespaceProxy, ValueProxy

__all__ = ["AutoProxy", "IteratorProxy", "MakeProxyType", "make", "proxytype_of"]

Builder = Callable[..., BaseProxy]


class IteratorProxy(BaseProxy):
    """An iterator or a generator that a process hosts; each item is a call."""

    _exposed_ = ("__next__", "send", "throw", "close")

    def __iter__(self) -> IteratorProxy:
        return self

    def __next__(self, *args: Any) -> Any:
        return self._callmethod("__next__", args)

    def send(self, *args: Any) -> Any:
        """Go on with a generator, with this value of its ``yield``."""
        return self._callmethod("send", args)

    def throw(self, *args: Any) -> Any:
        """Raise an exception inside a generator."""
        return self._callmethod("throw", args)

    def close(self, *args: Any) -> Any:
        """End a generator."""
        return self._callmethod("close", args)


# -- proxy types made for what they expose


def _forwarder(name: str) -> Any:
    """A method that calls the method of this name."""

    def method(self: BaseProxy, /, *args: Any, **kwds: Any) -> Any:
        return self._callmethod(name, args, kwds)

    method.__name__ = method.__qualname__ = name
    return method


_made: dict[tuple[str, tuple[str, ...]], type[BaseProxy]] = {}


def MakeProxyType(name: str, exposed: Any) -> type[BaseProxy]:
    """A proxy type whose methods are those that are exposed.

    >>> CounterProxy = MakeProxyType("CounterProxy", ("next",))
    """
    exposed = tuple(exposed)
    try:
        return _made[name, exposed]
    except KeyError:
        pass
    attributes = {method: _forwarder(method) for method in exposed}
    cls = type(name, (BaseProxy,), {**attributes, "_exposed_": exposed, "_made_": (name, exposed)})
    return _made.setdefault((name, exposed), cls)


def AutoProxy(
    token: Any,
    serializer: Any = None,
    manager: Any = None,
    authkey: Any = None,
    exposed: Any = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> BaseProxy:
    """A proxy with the public methods of its object, or with those that are exposed."""
    if exposed is None:
        exposed = BaseProxy(token, serializer, manager, authkey)._callmethod("#METHODS")
    cls = MakeProxyType(f"AutoProxy[{token.typeid}]", exposed)
    proxy = cls(token, serializer, manager, authkey, exposed, incref, manager_owned)
    object.__setattr__(proxy, "_isauto", True)
    return proxy


# -- proxy types like those of the server's own objects


class _HostedNamespace(NamespaceProxy):
    """Attributes of an object that a process hosts."""

    __getattribute__ = object.__getattribute__

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            return object.__getattribute__(self, name)
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

    name = property(lambda self: self._callmethod("__getattribute__", ("name",)))
    delete = property(lambda self: self._callmethod("__getattribute__", ("delete",)))
    statistics = property(lambda self: self._callmethod("__getattribute__", ("statistics",)))
    _delete = base._delete


def _attribute(name: str) -> property:
    return property(lambda self: self._callmethod("__getattribute__", (name,)))


def _in_place(name: str) -> Any:
    def method(self: BaseProxy, other: Any) -> BaseProxy:
        self._callmethod(name, (other,))
        return self

    method.__name__ = name
    return method


def _by_index(self: Any) -> Iterator[Any]:
    """Iterate as over anything that only has ``__getitem__``."""
    index = 0
    while True:
        try:
            item = self[index]
        except IndexError:
            return
        yield item
        index += 1


IN_PLACE = {f"__i{name}__" for name in ["add", "sub", "mul", "and", "or", "xor", "concat"]}
OWN = {"__init__", "__module__", "__class_getitem__"}
SPECIAL: dict[type, dict[str, Any]] = {
    ValueProxy: {"value": property(lambda s: s.get(), lambda s, value: s.set(value))},
    ConditionProxy: {"wait_for": ConditionProxy.wait_for},
    AcquirerProxy: {
        name: vars(AcquirerProxy)[name] for name in ("acquire", "release", "__enter__", "__exit__")
    },
}


def _forwarders_of(native: type[NativeProxy]) -> dict[str, Any]:
    """What a native proxy type has, as calls to a process."""
    body: dict[str, Any] = {}
    for cls in reversed(native.__mro__[: native.__mro__.index(NativeProxy)]):
        for name, value in vars(cls).items():
            if isinstance(value, property):
                body[name] = _attribute(name)
            elif isinstance(value, FunctionType) and name not in OWN and not _is_private(name):
                body[name] = _in_place(name) if name in IN_PLACE else _forwarder(name)
    if "__iadd__" in body and "extend" in body:
        body["__iadd__"] = _extend
    if "__iter__" in body and "__iter__" not in native._exposed_:
        body["__iter__"] = _by_index
    return body


def _is_private(name: str) -> bool:
    return name[:1] == "_" and name[:2] != "__"


def _hosted_subclass(native: type[NativeProxy]) -> type[NativeProxy]:
    """A native proxy type whose methods are calls to a process."""
    parent = _HostedNamespace if native is NamespaceProxy else native
    body = {} if native is NamespaceProxy else _forwarders_of(native)
    for name, value in vars(NativeProxy).items():
        if isinstance(value, FunctionType) and name not in vars(_HostedNamespace):
            body[name] = vars(BaseProxy)[name]
    body["delete"] = vars(parent)["delete"] if native is NamespaceProxy else BaseProxy.delete
    for cls, special in SPECIAL.items():
        if issubclass(native, cls):
            body.update(special)
    body["_registered_"] = native
    return type(native.__name__, (parent,), body)


def _extend(self: Any, other: Any) -> Any:
    self._callmethod("extend", (other,))
    return self


_variants: dict[type, type[BaseProxy]] = {}


def proxytype_of(registered: Any) -> Builder:
    """The proxy type for an object that a process hosts, when this one was registered.

    A native one, or a subclass of one that a user wrote, gets a subclass with the methods of that
    user, and calls to the process instead of the native ones.
    """
    if not (isinstance(registered, type) and issubclass(registered, NativeProxy)):
        return registered or AutoProxy
    variant = _variants.get(registered)
    if variant is None:
        native = next(cls for cls in registered.__mro__ if "_typeid" in vars(cls))
        variant = _variants.setdefault(native, _hosted_subclass(native))
        if registered is not native:
            body = {"_registered_": registered, "__module__": registered.__module__}
            variant = type(registered.__name__, (registered, variant), body)
            _variants[registered] = variant
    return variant


def make(registered: Any, exposed: Any, token: Token, manager: Any) -> BaseProxy:
    """A proxy of the type that was registered, None for any."""
    serializer = authkey = None
    if manager is not None:
        runtime = manager.runtime
        serializer, authkey = runtime.settings.serializer, runtime.authkey
    return proxytype_of(registered)(
        token,
        serializer,
        manager=manager,
        authkey=authkey,
        exposed=None if exposed is None else tuple(exposed),
    )


base._factories.update(
    registered=make,
    auto=lambda exposed, token, manager: make(AutoProxy, exposed, token, manager),
    made=lambda name, exposed, token, manager: make(
        MakeProxyType(name, exposed), exposed, token, manager
    ),
)
base._factories["class"] = lambda cls, token, manager: make(cls, None, token, manager)
base.proxytypes["Iterator"] = IteratorProxy
