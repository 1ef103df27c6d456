"""BaseProxy, the reference to a shared object: how it prints, pickles and is counted; and the proxy
types that are made for what an object exposes.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, TypeVar

from multihost.errors import BadPayload, HostLost
from multihost.proxies import stdlib_types
from multihost.wire.identity import name_of
from multihost.wire.ops import object as ops
from multihost.wire.rpc import objects as hosted_ops
from multihost.wire.rpc import results
from multihost.wire.rpc.client import host_client
from multihost.wire.session import Handle, Session, registry
from multihost.wire.values.nesting import home, is_nested, pickled

__all__ = [
    "Absent",
    "AutoProxy",
    "BaseProxy",
    "IteratorProxy",
    "MakeProxyType",
    "Statistics",
    "Token",
    "call_proxytype",
    "handle_of",
    "receive_token",
    "received",
    "session_of",
    "token_of",
    "value_of",
]


P = TypeVar("P", bound="BaseProxy")


class Statistics(NamedTuple):
    """State of a shared object.

    ``length`` counts entries, elements or items; ``memory`` is in bytes, None where the server does
    not report it; ``lease`` is in seconds until the object expires unless a holder renews it, None
    for a persistent object.
    """

    typeid: str
    name: str | None
    length: int
    memory: int | None
    lease: float | None


class Token(NamedTuple):
    """The identity and the server of a shared object. It is part of pickles and holds no secret."""

    typeid: str
    ident: str
    parameters: str  # the parameters of the object, or the host that has it
    origin: registry.Origin | None  # None: the server of the container that it was stored in

    @property
    def id(self) -> str:
        """The identity of the object on its server."""
        return self.ident

    @property
    def address(self) -> str | None:
        """The address of the server, None for a proxy that is stored in a container."""
        return None if self.origin is None else self.origin.address


class Absent:
    """A name that a base class has and this class has not; ``__getattr__`` may have it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(
            f"{owner.__name__!r} object has no attribute {self._name!r}",
            name=self._name,
            obj=owner if instance is None else instance,
        )


class BaseProxy(stdlib_types.BaseProxy):
    """A reference to a shared object.

    >>> class CounterProxy(BaseProxy):
    ...     _exposed_ = ("next",)
    ...     def next(self):
    ...         return self._callmethod("next")

    The object lives in the process that serves it, and ``_callmethod`` calls it there. Equality and
    hash are by identity, ``str()`` shows the object and ``repr()`` the proxy, as with
    :class:`multiprocessing.managers.BaseProxy`, its base class. A proxy pickles with plain pickle,
    works in every process that can reach its server, and keeps an unnamed object alive while it
    lives.

    **Cost**: a call is one round trip to the server and one from there to the process.
    **If a holder dies** its proxies no longer count: an unnamed object without other holders is
    deleted a lease and a minute later. **If the host dies** calls raise
    :class:`~multihost.HostLost`, blocked ones within about two seconds.
    **Differs from multiprocessing**: an exception carries its remote traceback as a note.
    """

    _exposed_: ClassVar[tuple[str, ...]]  # of a class without it: all public methods
    _typeid_: ClassVar[str] = ""
    _isauto = False

    _handle: Handle
    _token: Token
    _manager: Any

    # How proxies of the standard library reach their server.
    _connect, _incref, _decref, _after_fork = Absent(), Absent(), Absent(), Absent()

    def __init__(
        self,
        token: Any,
        serializer: Any = None,  # noqa: ARG002 - part of the token; the rest is for compatibility
        manager: Any = None,
        authkey: Any = None,  # noqa: ARG002
        exposed: Any = None,  # noqa: ARG002
        incref: bool = True,  # noqa: ARG002
        manager_owned: bool = False,  # noqa: ARG002
    ) -> None:
        session = registry.find(token.origin) if manager is None else manager.runtime.session
        self._bind(session.handle_of_reference(token.ident), token, manager)

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

    @property
    def _id(self) -> str:
        return self._token.ident

    # The public names call the private ones, which a NamespaceProxy has only: there every other
    # name is an attribute of the shared object.

    @property
    def name(self) -> str | None:
        """The name of the object, None if it has none. No round trip."""
        return self._name

    def delete(self) -> None:
        """Delete the object for all clients. 1 round trip, 2 for an object of a host.

        From then on every proxy of it raises :class:`~multihost.ObjectGone`, until an object is
        created under the same name. Deleting a deleted object does nothing.
        """
        self._delete()

    def statistics(self) -> Statistics:
        """Return size, memory and lease of the object. 3 round trips."""
        return self._statistics()

    @property
    def _name(self) -> str | None:
        return name_of(self._token.ident)

    def _delete(self) -> None:
        handle = self._handle
        if hosted_ops.host_of(handle) is None:
            return
        try:
            # Not the method of a subclass: this is not a call of an exposed method.
            BaseProxy._callmethod(self, "#DELETE")
        except HostLost:
            ops.delete(handle)

    def _statistics(self) -> Statistics:
        handle = self._handle
        return Statistics(
            typeid=self._token.typeid,
            name=self._name,
            length=self._length(),
            memory=ops.memory(handle),
            lease=ops.lease_left(handle),
        )

    def _length(self) -> int:
        return 1

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        """Call an exposed method in the process of the object, and return a copy of the result."""
        handle, token = self._handle, self._token
        codec = handle.codec.unsigned  # the channel signs
        payload = codec.dump_call(token.ident, methodname, args, kwds or {})
        answer, host = results.call(handle, token.parameters, payload)
        if host != token.parameters:
            object.__setattr__(self, "_token", token._replace(parameters=host))
        if answer[0] == results.VALUE:
            return codec.load(answer[1:])
        other = results.decode_other(handle.session, answer)
        if other[0] == results.PROXY:
            return receive_proxy(handle.session, self._manager, other)
        raise results.decode_error(codec, other)

    def _getvalue(self) -> Any:
        """Return a copy of the object as a plain Python object; proxies in it stay proxies."""
        return self._callmethod("#GETVALUE")

    def _show(self) -> str:
        return str(self._callmethod("__repr__"))

    def __str__(self) -> str:
        try:
            return self._show()
        except Exception:  # noqa: BLE001 - printing never fails, as in multiprocessing
            return repr(self)[:-1] + "; '__str__()' failed>"

    def __repr__(self) -> str:
        token: Token | None = getattr(self, "_token", None)
        if token is None:  # the constructor of a subclass has not come to make it
            return object.__repr__(self)
        name = name_of(token.ident)
        shown = "" if name is None else f" {name!r}"
        cls = type(self).__name__
        return f"<{cls} object{shown}, typeid {token.typeid!r} at {id(self):#x}>"

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Any:
        return self._getvalue()

    # pickling

    def __reduce__(self) -> tuple[Callable[..., BaseProxy], tuple[Any, ...]]:
        cls = type(self)
        if self._isauto:
            return rebuild_auto, (cls._exposed_, *self._reference())
        if "_made_" in vars(cls):  # and not only in those of a base class
            return rebuild_made, (*vars(cls)["_made_"], *self._reference())
        return rebuild, (cls, *self._reference())

    def _reference(self) -> tuple[Any, ...]:
        """Return what a pickle says of the object: a token, and for a spawned child credentials."""
        session, token, gift = self._handle.session, self._token, None
        unnamed = self._handle.keys.name is None
        is_read_once = registry.is_starting_another() and not is_nested()
        if unnamed and not is_read_once:
            session.references.mark_shared(token.ident)
        if pickled(token.ident, unnamed, session.server):
            return (token._replace(origin=None),)
        if unnamed:
            session.references.send(token.ident)
            gift = session.references.give(token.ident) if is_read_once else None
        inherited = registry.inherited_credentials(session)
        if gift is not None:
            return token, inherited, gift
        return (token, inherited) if inherited else (token,)


# What other modules of this package need of a proxy. (Names without an underscore are for the
# methods of shared objects.)
handle_of: Callable[[BaseProxy], Handle] = operator.attrgetter("_handle")
token_of: Callable[[BaseProxy], Token] = operator.attrgetter("_token")


def value_of(argument: Any) -> Any:
    """Return a copy of the object of a proxy, and anything else as it is.

    Methods that take an iterable, such as ``extend``, take a proxy of one, too.
    """
    return argument._getvalue() if isinstance(argument, BaseProxy) else argument


def session_of(token: Token, inherited: bytes | None) -> Session:
    """Return the session for a token of a pickle; one without origin is at its container's."""
    if token.origin is not None:
        return registry.find(token.origin, inherited)
    session = home()
    if session is None:
        raise BadPayload(
            "a proxy that was stored in a container is unpickled without it: read it through the "
            "proxy of the container"
        )
    return session  # type: ignore[no-any-return]


# -- proxy types that are made for what an object exposes


class IteratorProxy(BaseProxy, stdlib_types.IteratorProxy):
    """An iterator or a generator in another process.

    **Cost**: 2 round trips for each item.
    """

    _exposed_ = ("__next__", "send", "throw", "close")

    def __iter__(self) -> IteratorProxy:
        return self

    def __next__(self, *args: Any) -> Any:
        return self._callmethod("__next__", args)

    def send(self, *args: Any) -> Any:
        """Resume a generator with this value of its ``yield``. 2 round trips."""
        return self._callmethod("send", args)

    def throw(self, *args: Any) -> Any:
        """Raise an exception inside a generator. 2 round trips."""
        return self._callmethod("throw", args)

    def close(self, *args: Any) -> Any:
        """Close a generator. 2 round trips."""
        return self._callmethod("close", args)


def forwarder(name: str) -> Any:
    """Return a method that calls the method of this name of the object."""

    def method(self: BaseProxy, /, *args: Any, **kwds: Any) -> Any:
        return self._callmethod(name, args, kwds)

    method.__name__ = method.__qualname__ = name
    return method


_made_types: dict[tuple[str, tuple[str, ...]], type[BaseProxy]] = {}


def MakeProxyType(name: str, exposed: Iterable[str]) -> type[BaseProxy]:
    """Return a proxy type with the methods that are exposed.

    >>> CounterProxy = MakeProxyType("CounterProxy", ("next",))
    """
    exposed = tuple(exposed)
    try:
        return _made_types[name, exposed]
    except KeyError:
        pass
    methods = {method: forwarder(method) for method in exposed}
    cls = type(name, (BaseProxy,), {**methods, "_exposed_": exposed, "_made_": (name, exposed)})
    return _made_types.setdefault((name, exposed), cls)


def AutoProxy(
    token: Any,
    serializer: Any = None,
    manager: Any = None,
    authkey: Any = None,
    exposed: Iterable[str] | None = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> BaseProxy:
    """Return a proxy with the public methods of its object, or with those that are exposed.

    2 round trips if ``exposed`` is None, else none.
    """
    if exposed is None:
        exposed = BaseProxy(token, serializer, manager, authkey)._callmethod("#METHODS")
    cls = MakeProxyType(f"AutoProxy[{token.typeid}]", exposed)
    proxy = cls(token, serializer, manager, authkey, exposed, incref, manager_owned)
    object.__setattr__(proxy, "_isauto", True)
    return proxy


# -- proxies of objects in a host: from a pickle, or from an answer of the host


def call_proxytype(
    proxytype: Callable[..., BaseProxy], exposed: Iterable[str] | None, token: Token, manager: Any
) -> BaseProxy:
    """Call a proxy type with the arguments that it has in the standard library."""
    # A constructor of the standard library accepts its own serializers only, and uses none here.
    serializer, authkey = "pickle", None
    if manager is not None:
        authkey = manager.runtime.authkey
    exposed = None if exposed is None else tuple(exposed)
    return proxytype(token, serializer, manager=manager, authkey=authkey, exposed=exposed)


def with_origin(token: Token, inherited: bytes | None) -> Token:
    """Return a token of a pickle with its origin, for which a session can be found from then on."""
    if token.origin is None:
        return token._replace(origin=session_of(token, inherited).origin)
    if inherited is not None:
        registry.find(token.origin, inherited)  # opens a session with these credentials
    return token


def received(proxy: P, gift: str | None) -> P:
    """Return a proxy that came with a gift in a pickle. It counts in the process only for which it
    was made, while that is being started.
    """
    if gift is not None and registry.is_starting():
        handle = handle_of(proxy)
        handle.session.references.receive(handle.keys.ident, gift)
    return proxy


def rebuild(
    cls: Callable[..., BaseProxy],
    token: Token,
    inherited: bytes | None = None,
    gift: str | None = None,
) -> BaseProxy:
    """Return a proxy for a pickle of one whose class can be imported."""
    return received(call_proxytype(cls, None, with_origin(token, inherited), None), gift)


def rebuild_auto(
    exposed: tuple[str, ...], token: Token, inherited: bytes | None = None, gift: str | None = None
) -> BaseProxy:
    """Return a proxy for a pickle of an AutoProxy."""
    proxy = call_proxytype(AutoProxy, exposed, with_origin(token, inherited), None)
    return received(proxy, gift)


def rebuild_made(
    name: str,
    exposed: tuple[str, ...],
    token: Token,
    inherited: bytes | None = None,
    gift: str | None = None,
) -> BaseProxy:
    """Return a proxy for a pickle of one of a type made by MakeProxyType."""
    proxytype = MakeProxyType(name, exposed)
    proxy = call_proxytype(proxytype, exposed, with_origin(token, inherited), None)
    return received(proxy, gift)


def receive_token(session: Session, answer: Any) -> tuple[Token, Any]:
    """Return the token of an object that a host created, or found, for this process, and what it
    exposes.

    The host keeps the object until this process has had a proxy of it and the last one is deleted.
    """
    _, typeid, exposed, ident, host, claim = answer
    if claim is not None:
        keys = session.handle(ident).keys
        session.references.add_remote(keys, claim, host_client(session, host).release_references)
    return Token(typeid, ident, host, session.origin), exposed


def receive_proxy(session: Session, manager: Any, answer: Any) -> BaseProxy:
    """Return a proxy of an object that a host created, or found, for this process."""
    token, exposed = receive_token(session, answer)
    if manager is not None and (proxy := manager.proxy_of(token, exposed)) is not None:
        return proxy  # type: ignore[no-any-return]
    proxytype = IteratorProxy if token.typeid == "Iterator" else AutoProxy
    return call_proxytype(proxytype, exposed, token, manager)
