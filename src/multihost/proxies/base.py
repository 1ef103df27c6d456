"""What every proxy is: a reference to a shared object that prints, pickles and is counted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from multiprocessing.managers import RemoteError
from typing import Any, ClassVar, NamedTuple

from multihost.errors import BadPayload, HostLost
from multihost.wire.identity import name_of
from multihost.wire.ops import object as ops
from multihost.wire.rpc import objects as hosted_ops
from multihost.wire.rpc import results
from multihost.wire.rpc.client import host_client
from multihost.wire.session import Handle, Session, registry
from multihost.wire.values.nesting import home, pickled

__all__ = ["BaseProxy", "NativeProxy", "Statistics", "Token", "value_of"]


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
    parameters: str  # the parameters of the object, or the host that has it
    origin: registry.Origin | None  # None: where the container is that it was stored in

    @property
    def id(self) -> str:
        return self.ident

    @property
    def address(self) -> str | None:
        return None if self.origin is None else self.origin.address


class BaseProxy:
    """A reference to a shared object.

    >>> class CounterProxy(BaseProxy):
    ...     _exposed_ = ("next",)
    ...     def next(self):
    ...         return self._callmethod("next")

    The object lives in the process that serves it, and ``_callmethod`` calls it there. Equality and
    hash are by identity, ``str()`` shows the object and ``repr()`` the proxy, as with
    :class:`multiprocessing.managers.BaseProxy`. A proxy pickles with plain pickle, works in every
    process that can reach its server, and keeps an unnamed object alive while it lives.

    **Cost**: a call is one round trip to the server and one from there to the process.
    **If a holder dies** its proxies stop to count: an unnamed object that nobody else holds is gone
    one lease later. **If the host dies** calls raise :class:`~multihost.HostLost`, those that wait
    within about two seconds.
    **Differs from multiprocessing**: an exception brings its remote traceback along, as a note.
    """

    _exposed_: ClassVar[tuple[str, ...]] = ()
    _typeid: ClassVar[str] = ""
    _isauto = False

    def __init__(
        self,
        token: Any,
        serializer: Any = None,  # noqa: ARG002 - the token says which, and what follows is as there
        manager: Any = None,
        authkey: Any = None,  # noqa: ARG002
        exposed: Any = None,  # noqa: ARG002
        incref: bool = True,  # noqa: ARG002
        manager_owned: bool = False,  # noqa: ARG002
    ) -> None:
        session = registry.find(token.origin) if manager is None else manager._open_session()
        self._bind(session.handle(token.ident), token, manager)

    def _bind(self, handle: Handle, token: Token, manager: object) -> None:
        set_ = object.__setattr__  # a NamespaceProxy sends other names to the object
        set_(self, "_handle", handle)
        set_(self, "_token", token)
        set_(self, "_manager", manager)
        if handle.keys.name is None:
            session = handle.session
            session.references.incref(handle.keys)
            finalizer = weakref.finalize(self, session.references.decref, token.ident)
            finalizer.atexit = False

    _handle: Handle
    _token: Token
    _manager: Any

    @property
    def _id(self) -> str:
        return self._token.ident

    @property
    def name(self) -> str | None:
        """The name of the object, None if it has none. No round trip."""
        return _name(self)

    def delete(self) -> None:
        """Delete the object for everyone. 1 round trip. A second time does nothing.

        Every proxy of it raises :class:`~multihost.ObjectGone` from then on, until the name is used
        again.
        """
        _delete(self)

    def statistics(self) -> Statistics:
        """Size, memory and lease of the object. 3 round trips."""
        return _statistics(self)

    def _length(self) -> int:
        return 1

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """Call an exposed method of the object, where it lives, and return a copy of the result."""
        handle, token = self._handle, self._token
        codec = handle.codec
        payload = codec.dump_call(token.ident, methodname, args, kwds or {})
        answer, host = results.call(handle, token.parameters, payload)
        if host != token.parameters:
            object.__setattr__(self, "_token", token._replace(parameters=host))
        if answer[0] == results.VALUE:
            return codec.load(answer[1:])
        other = codec.load(answer[1:])
        if other[0] == results.PROXY:
            return proxy_from_answer(handle.session, self._manager, other)
        raise results.decode_error(codec, other)

    def _getvalue(self) -> Any:
        """A copy of the object as a plain Python object; proxies inside it stay proxies."""
        return self._callmethod("#GETVALUE")

    def _show(self) -> str:
        return str(self._callmethod("__repr__"))

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
        return rebuild_hosted, (rebuild_args(self), *_address(self))


class NativeProxy(BaseProxy):
    """A reference to an object that the server itself holds: every method is a call to the server.

    **If a holder dies** its proxies stop to count: an unnamed object that nobody else holds is gone
    one lease later.
    **Differs from multiprocessing**: there is no server process behind it, so nothing dies with
    one.
    """

    def __init__(self, handle: Handle, token: Token, manager: object = None) -> None:
        self._bind(handle, token, manager)

    def _length(self) -> int:
        return len(self)  # type: ignore[arg-type]

    def _getvalue(self) -> Any:
        raise RemoteError(f"a {type(self).__name__} has no plain value")

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """Call an exposed method by its name."""
        if methodname in ("__str__", "__repr__", "#STR"):
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

    def delete(self) -> None:
        """Delete the object for everyone. 1 round trip. A second time does nothing.

        Every proxy of it raises :class:`~multihost.ObjectGone` from then on, until the name is used
        again.
        """
        ops.delete(self._handle)

    def __reduce__(self) -> tuple[Callable[..., BaseProxy], tuple[Any, ...]]:
        return rebuild, (type(self), *_address(self))


def _address(proxy: BaseProxy) -> tuple[Any, ...]:
    """What a proxy says of its object when it is pickled: a token, and perhaps credentials."""
    session, token = proxy._handle.session, proxy._token
    unnamed = proxy._handle.keys.name is None
    if unnamed:
        session.references.mark_shared(token.ident)
    if pickled(token.ident, unnamed, session.server):
        return (token._replace(origin=None),)
    heirloom = registry.inherited_credentials(session)
    return (token, heirloom) if heirloom else (token,)


def _session_of(token: Token, inherited: bytes | None) -> Session:
    if token.origin is not None:
        return registry.find(token.origin, inherited)
    session = home()
    if session is None:
        raise BadPayload("the bytes of a stored proxy were taken out of their container")
    return session  # type: ignore[no-any-return]


def rebuild(cls: type[NativeProxy], token: Token, inherited: bytes | None = None) -> NativeProxy:
    """Make a proxy of what was pickled."""
    session = _session_of(token, inherited)
    origin = token.origin or session.origin
    return cls(session.handle(token.ident), token._replace(origin=origin))


# -- objects that a process hosts

_factories: dict[str, Callable[..., Any]] = {}
"""How a proxy is made of what the recipe in its pickle starts with; see proxies.hosted."""

proxytypes: dict[str, Callable[..., BaseProxy]] = {}
"""The proxies of typeids that are known everywhere."""


def rebuild_args(proxy: BaseProxy) -> tuple[Any, ...]:
    """How the receiver of a pickle makes such a proxy."""
    cls = type(proxy)
    if proxy._isauto:
        return "auto", cls._exposed_
    if "_made_" in vars(cls):
        return "made", *vars(cls)["_made_"]
    return "class", getattr(cls, "_registered_", cls)


def rebuild_hosted(how: tuple[Any, ...], token: Token, inherited: bytes | None = None) -> BaseProxy:
    """Make a proxy of what was pickled."""
    origin = token.origin or _session_of(token, inherited).origin
    if inherited is not None:
        registry.find(origin, inherited)
    kind, *args = how
    return _factories[kind](*args, token._replace(origin=origin), None)  # type: ignore[no-any-return]


def token_from_answer(session: Session, answer: Any) -> tuple[Token, Any]:
    """The token of an object that a host created, or found, for this process; what it exposes.

    The object is kept until there was a proxy of it, and the last one is gone.
    """
    _, typeid, exposed, ident, host, claim = answer
    if claim is not None:
        keys = session.handle(ident).keys
        session.references.add_remote(keys, claim, host_client(session, host).release_references)
    return Token(typeid, ident, host, session.origin), exposed


def proxy_from_answer(session: Session, manager: Any, answer: Any) -> BaseProxy:
    """The proxy of an object that a host created, or found, for this process."""
    token, exposed = token_from_answer(session, answer)
    typeid, registry = token.typeid, {} if manager is None else manager._registry
    proxytype = registry[typeid][-1] if typeid in registry else proxytypes.get(typeid)
    return _factories["registered"](proxytype, exposed, token, manager)  # type: ignore[no-any-return]


def _delete(proxy: BaseProxy) -> None:
    handle = proxy._handle
    if hosted_ops.host_of(handle) is None:
        return
    try:
        BaseProxy._callmethod(proxy, "#DELETE")
    except HostLost:
        ops.delete(handle)


def _name(proxy: BaseProxy) -> str | None:
    ident = proxy._token.ident
    return name_of(ident)


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
