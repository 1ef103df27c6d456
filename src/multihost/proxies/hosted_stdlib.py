"""Proxy types that were derived from those of the standard library, for objects that a process
hosts: ``register("Parts", Parts, PartsProxy)`` takes the ``PartsProxy`` of a program as it is.

Such a class gets a subclass in which our BaseProxy comes before that of the standard library, so
that its methods call ours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from multiprocessing import managers
from typing import Any, ClassVar, NamedTuple

from multihost.proxies import stdlib_types
from multihost.proxies.base import (
    Absent,
    AutoProxy,
    BaseProxy,
    Token,
    call_proxytype,
    with_origin,
)

__all__ = ["adapted"]

ProxyType = Callable[..., BaseProxy]


def adapted(registered: ProxyType) -> ProxyType:
    """Return the proxy type to use for the registered one: itself, if it is none of those."""
    if registered is stdlib_types.AutoProxy:
        return AutoProxy
    return _subclass(registered) if _is_foreign(registered) else registered


def _is_foreign(proxytype: ProxyType) -> bool:
    return (
        isinstance(proxytype, type)
        and issubclass(proxytype, stdlib_types.BaseProxy)
        and not issubclass(proxytype, BaseProxy)
    )


@functools.cache
def _subclass(registered: Any) -> type[BaseProxy]:
    body = {
        "_registered_": registered,
        "__module__": registered.__module__,
        "__qualname__": registered.__qualname__,
        "__doc__": registered.__doc__,
    }
    return type(registered.__name__, (registered, StdlibProxy), body)


class StdlibProxy(BaseProxy):
    """What such a class has for its base. All public names are those of the class, and of its
    object.
    """

    _registered_: ClassVar[Any]

    name, delete, statistics = Absent(), Absent(), Absent()

    # For classes that call the standard library's BaseProxy by its name, not by super(). Its
    # constructor sets attributes, and calls _incref() at the end and again in a forked child.

    def _incref(self) -> None:
        if "_handle" not in vars(self):
            BaseProxy.__init__(self, self._token, manager=self._manager)

    @property
    def _id(self) -> str:
        return self._token.ident

    @_id.setter
    def _id(self, ident: str) -> None:
        """Do nothing: the token has it."""

    @property
    def _tls(self) -> _Thread:
        return _Thread(_Connection(self))

    @_tls.setter
    def _tls(self, there: object) -> None:
        """Do nothing: there is no connection to its server."""

    def __reduce__(self) -> tuple[ProxyType, tuple[Any, ...]]:
        registered = self._registered_
        if _is_made(registered):
            return rebuild_made, (registered.__name__, registered._exposed_, *self._reference())
        return rebuild, (registered, *self._reference())


class _Thread(NamedTuple):
    """What has the connection of this thread, for ``_callmethod`` of the standard library."""

    connection: _Connection


class _Connection:
    """What that function takes for the connection: a request goes in, and a reply comes out."""

    def __init__(self, proxy: BaseProxy) -> None:
        self._proxy = proxy

    def send(self, request: tuple[str, str, tuple[Any, ...], dict[str, Any]]) -> None:
        self._request = request

    def recv(self) -> tuple[str, Any]:
        _, method, args, kwds = self._request
        try:
            return "#RETURN", BaseProxy._callmethod(self._proxy, method, args, kwds)
        except Exception as error:  # noqa: BLE001 - the caller raises it
            return "#ERROR", error


def _is_made(registered: Any) -> bool:
    """Return True for a type that MakeProxyType made: it cannot be imported by its name."""
    known = getattr(managers, registered.__name__, None)
    return registered.__module__ == managers.__name__ and known is not registered


def rebuild(registered: Any, token: Token, inherited: bytes | None = None) -> BaseProxy:
    """Return a proxy for a pickle of one whose registered class can be imported."""
    return call_proxytype(adapted(registered), None, with_origin(token, inherited), None)


def rebuild_made(
    name: str, exposed: tuple[str, ...], token: Token, inherited: bytes | None = None
) -> BaseProxy:
    """Return a proxy for a pickle of one of a type that the standard library made."""
    return rebuild(stdlib_types.MakeProxyType(name, exposed), token, inherited)
