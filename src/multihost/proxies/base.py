"""What every proxy is: a reference to a shared object that prints, pickles and is counted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from multiprocessing.managers import RemoteError
from typing import Any, ClassVar, NamedTuple

from multihost.errors import BadPayload
from multihost.wire import directory
from multihost.wire.nesting import home, pickled
from multihost.wire.ops import object as ops
from multihost.wire.session import Handle

__all__ = ["BaseProxy", "Statistics", "Token", "value_of"]


class Statistics(NamedTuple):
    """What the server knows of a shared object.

    ``length`` counts entries, elements or items; ``memory`` is in bytes, None where the server does
    not say; ``lease`` is in seconds until the object expires unless a holder renews it, None for an
    object that is kept.
    """

    typeid: str
    name: str | None
    length: int
    memory: int | None
    lease: float | None


class Token(NamedTuple):
    """Which object a proxy refers to, and where. It travels in pickles and holds no secret."""

    typeid: str
    ident: str
    detail: str
    origin: directory.Origin | None  # None: where the container is that it was stored in


class BaseProxy:
    """A reference to a shared object; every method is a call to the server.

    Equality and hash are by identity, ``str()`` shows the object and ``repr()`` the proxy, as with
    :class:`multiprocessing.managers.BaseProxy`. A proxy pickles with plain pickle, works in every
    process that can reach its server, and keeps an unnamed object alive while it lives.

    **If a holder dies** its proxies stop to count: an unnamed object that nobody else holds is gone
    one lease later.
    **Differs from multiprocessing**: there is no server process behind it, so nothing dies with
    one.
    """

    _exposed_: ClassVar[tuple[str, ...]] = ()
    _typeid: ClassVar[str] = ""

    def __init__(self, handle: Handle, token: Token, manager: object = None) -> None:
        set_ = object.__setattr__  # a NamespaceProxy sends other names to the server
        set_(self, "_handle", handle)
        set_(self, "_token", token)
        set_(self, "_manager", manager)
        if handle.keys.name is None:
            session = handle.session
            session.hold(handle.keys)
            finalizer = weakref.finalize(self, session.let_go, token.ident)
            finalizer.atexit = False

    _handle: Handle
    _token: Token
    _manager: Any

    @property
    def name(self) -> str | None:
        """The name of the object, None if it has none. No round trip."""
        return _name(self)

    def delete(self) -> None:
        """Delete the object for everyone. 1 round trip. A second time does nothing.

        Every proxy of it raises :class:`~multihost.ObjectGone` from then on, until the name is used
        again.
        """
        ops.delete(self._handle)

    def statistics(self) -> Statistics:
        """Size, memory and lease of the object. 3 round trips."""
        return _statistics(self)

    def _length(self) -> int:
        return len(self)  # type: ignore[arg-type]

    def _getvalue(self) -> Any:
        """A copy of the object as a plain Python object; proxies inside it stay proxies."""
        raise RemoteError(f"a {type(self).__name__} has no plain value")

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """Call an exposed method by its name."""
        if methodname in ("__str__", "#STR"):
            return self._show()
        if methodname == "#GETVALUE":
            return self._getvalue()
        if methodname not in self._exposed_:
            raise RemoteError(
                f"AttributeError: method {methodname!r} of {self._typeid!r} object is not exposed"
            )
        return getattr(type(self), methodname)(self, *args, **(kwds or {}))

    def _show(self) -> str:
        return str(self._getvalue())

    def __str__(self) -> str:
        try:
            return self._show()
        except Exception:  # noqa: BLE001 - printing never fails, as in multiprocessing
            return repr(self)[:-1] + "; '__str__()' failed>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object, typeid {self._token.typeid!r} at {id(self):#x}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._getvalue()

    def __reduce__(self) -> tuple[Callable[..., BaseProxy], tuple[Any, ...]]:
        session, token = self._handle.session, self._token
        unnamed = self._handle.keys.name is None
        if unnamed:
            session.share(token.ident)
        if pickled(token.ident, unnamed, session.place):
            return rebuild, (type(self), token._replace(origin=None))
        heirloom = directory.heirloom(session)
        return rebuild, (type(self), token, heirloom) if heirloom else (type(self), token)


def rebuild(cls: type[BaseProxy], token: Token, heirloom: bytes | None = None) -> BaseProxy:
    """Make a proxy of what was pickled."""
    if token.origin is not None:
        session = directory.find(token.origin, heirloom)
        return cls(session.handle(token.ident), token)
    session = home()
    if session is None:
        raise BadPayload("the bytes of a stored proxy were taken out of their container")
    return cls(session.handle(token.ident), token._replace(origin=session.origin))


def _name(proxy: BaseProxy) -> str | None:
    ident = proxy._token.ident
    return ident[2:] if ident.startswith("n:") else None


def _statistics(proxy: BaseProxy) -> Statistics:
    handle = proxy._handle
    return Statistics(
        typeid=proxy._token.typeid,
        name=_name(proxy),
        length=proxy._length(),
        memory=ops.memory(handle),
        lease=ops.lease_left(handle),
    )


def value_of(thing: Any) -> Any:
    """The value behind a proxy, anything else as it is: what a method does with an argument."""
    return thing._getvalue() if isinstance(thing, BaseProxy) else thing
