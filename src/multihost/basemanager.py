"""What all managers have: states, names, and registered types."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import ProcessError, get_context, managers, util
from multiprocessing.managers import RemoteError
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeVar

from multihost.errors import HostLost, MultihostError
from multihost.proxies.base import Absent, AutoProxy, BaseProxy, Token, receive_token
from multihost.proxies.native import NativeProxy
from multihost.proxies.stdlib_types import State
from multihost.runtime import Runtime, Settings
from multihost.serving.process import Server, run_initializer, start_process
from multihost.wire.address import ListenAddress
from multihost.wire.identity import check_name, check_namespace, named
from multihost.wire.link import Patience, check_replicas
from multihost.wire.ops import object as object_ops
from multihost.wire.rpc import hosts as host_ops
from multihost.wire.rpc import objects as hosted_ops
from multihost.wire.rpc import results
from multihost.wire.rpc.client import HostDied, HostNotFound
from multihost.wire.session import Handle, Session, registry
from multihost.wire.values.codec import Serializer

__all__ = ["DEFAULT_NAMESPACE", "LEASE", "TIMEOUT", "BaseManager"]

DEFAULT_NAMESPACE = "multihost"
LEASE = 30.0
TIMEOUT = 10.0
SHORTEST_ATTEMPT = 0.02  # seconds for an answer, also within timeout(0)
STATES = {
    "initial": State.INITIAL,
    "started": State.STARTED,
    "shut down": State.SHUTDOWN,
}

AnyNative = TypeVar("AnyNative", bound=NativeProxy)


class BaseManager(managers.BaseManager):
    """A manager of the types that are registered: it starts or connects to a server, and makes
    proxies of objects there.

    >>> class MathsManager(BaseManager):
    ...     pass
    >>> MathsManager.register("Maths", Maths)
    >>> with MathsManager() as manager:
    ...     manager.Maths().add(4, 3)

    ``address`` is a URL, or as in the standard library ``(host, port)`` or a socket path, on which
    a private server of ``start()`` and ``get_server()`` listens; without an address only this user
    can reach it. ``authkey`` signs the values wherever there is an address. Who connects to a pair
    or a path, and who listens there, prove to each other that they have it. ``lease`` (seconds) is
    how long a process may be silent before it is taken for dead; unnamed objects outlive a killed
    holder by that and a minute. ``timeout`` (seconds) is how long a call tries in all while the
    server cannot be reached, is silent, or refuses for a while; see also :meth:`timeout`.
    ``grace`` (seconds) is how long a process may be without any connection before processes of
    other hosts may take it for dead; by default 5, or more where it is slow. ``replicas``: see
    :class:`RedisManager`.
    """

    _registry: ClassVar[dict[str, Any]] = {}
    _native_types: ClassVar[frozenset[str]] = frozenset()
    _name_first = False
    _Server = Server
    # How a manager of the standard library runs its server.
    _run_server, _finalize_manager = Absent(), Absent()
    _process: Any = None  # that this manager started to host objects
    _host: str | None = None  # the ident of the host to create objects at, once it is known

    def __init__(
        self,
        address: ListenAddress | None = None,
        authkey: bytes | None = None,
        serializer: Literal["pickle", "json", "xmlrpclib"] | Serializer = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
        namespace: str = DEFAULT_NAMESPACE,
        lease: float = LEASE,
        timeout: float = TIMEOUT,
        grace: float | None = None,
        replicas: int | Literal["all"] = 0,
    ) -> None:
        for what, seconds in ("lease", lease), ("timeout", timeout), ("grace", grace):
            if seconds is not None and seconds <= 0:
                raise ValueError(f"{what} is a positive number of seconds, not {seconds!r}")
        registry.serializer_of(serializer)  # raises KeyError or TypeError
        self.runtime: Runtime = Runtime.at(
            address,
            Settings(
                serializer,
                check_namespace(namespace),
                lease,
                timeout,
                grace,
                check_replicas(replicas),
            ),
            authkey,
        )
        # For proxies that are made by hand, as with multiprocessing.
        self._serializer, self._authkey = serializer, self.runtime.authkey
        self._ctx = ctx or get_context()
        self._shutdown_timeout = shutdown_timeout

    # states

    def start(
        self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()
    ) -> None:
        """Start a private server, or connect to the one of the URL. 40 ms, or 2 round trips.

        The private server listens at the address, without one on a socket that only this user can
        open; it writes nothing to disk, and ends with this process, however that ends. If types are
        registered that a process has to serve, such a process is started as well, by ``ctx``, and
        calls ``initializer(*initargs)`` first. Without such types a process is started for that
        alone, and has ended when this returns. Raises EOFError from what the initializer raises;
        nothing was started then.
        """
        self._check_new()
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        initialize = None if initializer is None else functools.partial(initializer, *initargs)
        types, runtime, host = self._hosted_types(), self.runtime, None
        name = type(self).__name__
        if initialize is not None and not types:
            run_initializer(self._ctx, name, initialize)
        runtime.start_server()
        try:
            if types:
                host = start_process(self._ctx, name, runtime, types, self._natives_on, initialize)
            runtime.open(host and functools.partial(host.end, self._shutdown_timeout))
        except BaseException:
            if host is not None:
                host.end(0.0)
            runtime.abort()
            raise
        if host is not None:
            self._process, self._host, _ = host

    def connect(self) -> None:
        """Connect to the server of the address. 2 round trips, once for each manager.

        Raises LinkError if it cannot be reached, AccessDenied if it refuses the password or lacks a
        permission, ServerUnproven if it did not prove to have the authkey of a pair or a path, and
        ServerUnfit if it is too old or may evict data.
        """
        self._check_new()
        self.runtime.connect()

    def timeout(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the calls of this thread wait no longer than ``seconds``, all
        together, for a server that cannot be reached, is silent, or refuses for a while: for a
        health check, or where nothing may be late. No round trip.

        >>> with manager.timeout(0.5):
        ...     waiting = jobs.qsize()

        They raise LinkError then, as after the ``timeout`` of the manager elsewhere. How long
        ``get()``, ``acquire()`` and the like wait for an item or a lock is their own ``timeout``.
        :mod:`multiprocessing` has none. Raises ValueError for a negative number.
        """
        if not seconds >= 0:
            raise ValueError(f"timeout() takes a number of seconds from 0 on, not {seconds!r}")
        return Patience(self.runtime.session.link, seconds, attempt=SHORTEST_ATTEMPT)

    def _check_new(self) -> None:
        if self.runtime.state == "started":
            raise ProcessError("Already started server")
        if self.runtime.state == "shut down":
            raise ProcessError("Manager has shut down")

    def get_server(self) -> Server:  # type: ignore[override]
        """Return what serves the registered types in this process:
        ``get_server().serve_forever()``.

        Without a URL its private server listens from now on.
        """
        self._check_new()
        return self._Server(self.runtime.copy(), self._hosted_types(), self._natives_on)

    def shutdown(self) -> None:  # type: ignore[override]
        """Delete what this manager made without a name, and end its processes. A second time does
        nothing.

        Proxies of this process raise :class:`~multihost.ManagerClosed` from then on. Named objects
        stay, unless they were on the private server or in the process that served them.
        """
        self.runtime.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process that serves has ended, if there is one."""
        if self._process is not None:
            self._process.join(timeout)
            if not self._process.is_alive():
                self._process = None

    @property
    def address(self) -> ListenAddress | None:
        """Where the server is, in the form that was given: its URL, without user name and password,
        its ``(host, port)`` or its socket path; None before ``start()`` if none was given.
        """
        return self.runtime.listen_address

    @property
    def _address(self) -> ListenAddress | None:
        return self.address

    @property
    def _state(self) -> State:
        state = State()
        state.value = STATES[self.runtime.state]
        return state

    def __enter__(self) -> Self:
        if self.runtime.state == "initial":
            self.start()
        if self.runtime.state != "started":
            raise ProcessError("Manager has shut down")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        runtime: Runtime | None = vars(self).get("runtime")
        if runtime is None:  # the constructor of a subclass has not come to make it
            return object.__repr__(self)
        state = {"initial": "not started"}.get(runtime.state, runtime.state)
        server = "no server" if runtime.address is None else f"server {str(runtime.address)!r}"
        namespace = f"namespace {runtime.settings.namespace!r}"
        return f"<{type(self).__name__} object, {server}, {namespace}, {state} at {id(self):#x}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a manager cannot be pickled: pass its proxies, or create one in the other process"
        )

    # registered types

    @classmethod
    def register(
        cls,
        typeid: str,
        callable: Callable[..., Any] | None = None,
        proxytype: Callable[..., managers.BaseProxy] | None = None,
        exposed: Iterable[str] | None = None,
        method_to_typeid: Mapping[str, str] | None = None,
        create_method: bool = True,
    ) -> None:
        """Register a type whose objects live in the process that serves them.

        ``callable`` makes an object in that process; without one the type is for managers that
        connect.
        ``proxytype`` is a subclass of :class:`BaseProxy`, or of that of the standard library, by
        default one with the public methods of the object. ``exposed`` names the methods that may be
        called, ``method_to_typeid`` those whose results become objects themselves. A proxy type of
        this package works, too.

        The object is named by ``name=``, unless the callable has such a parameter, and by a leading
        ``str`` where managers take names first. The first request for a named object creates it;
        if its process died, the first request to a live one.
        """
        if "_registry" not in cls.__dict__:
            cls._registry = cls._registry.copy()
        proxytype = proxytype or AutoProxy
        exposed = exposed or getattr(proxytype, "_exposed_", None)
        results = dict(method_to_typeid or getattr(proxytype, "_method_to_typeid_", None) or {})
        for key, value in results.items():
            assert type(key) is str, f"{key!r} is not a string"
            assert type(value) is str, f"{value!r} is not a string"
        cls._registry[typeid] = (
            callable,
            None if exposed is None else tuple(exposed),
            results or None,
            proxytype,
        )
        cls._native_types = cls._native_types - {typeid}
        if create_method:

            def create(self: BaseManager, /, *args: Any, **kwds: Any) -> BaseProxy:
                util.debug("requesting creation of a shared %r object", typeid)
                token, exposed = self._create(typeid, *args, **kwds)
                return self._make_proxy(proxytype, exposed, token)

            create.__name__ = create.__qualname__ = typeid
            setattr(cls, typeid, create)

    def _hosted_types(self) -> dict[str, Any]:
        """Return the registered types that a process has to serve."""
        return {
            typeid: entry
            for typeid, entry in self._registry.items()
            if typeid not in self._native_types
        }

    @classmethod
    def _natives_on(cls, runtime: Runtime) -> dict[str, Callable[..., BaseProxy]]:
        """Return the factories of native types on an open runtime: what a host needs.

        No constructor is called: that of a subclass may take other arguments.
        """
        manager = cls.__new__(cls)
        manager.runtime = runtime
        return {typeid: getattr(manager, typeid) for typeid in cls._native_types}

    def _create(self, typeid: str, /, *args: Any, **kwds: Any) -> tuple[Token, Any]:
        """Create an object at a host; return its token, and the names of its exposed methods."""
        session = self.runtime.session
        answer = results.decode_other(session, self._create_on_host(typeid, args, kwds))
        if answer[0] != results.PROXY:
            raise _failure(session, answer)
        return receive_token(session, answer)

    # No docstring: a name without underscore for the proxies, not for users.
    def proxy_of(self, token: Token, exposed: Any) -> BaseProxy | None:
        # Return a proxy of an object that a call returned; None if its type is not registered.
        entry = self._registry.get(token.typeid)
        return None if entry is None else self._make_proxy(entry[-1], exposed, token)

    def _make_proxy(self, proxytype: Any, exposed: Any, token: Token) -> BaseProxy:
        from multihost.proxies.hosted_native import make_proxy  # few programs register types

        return make_proxy(proxytype, exposed, token, self)

    def _create_on_host(self, typeid: str, args: tuple[Any, ...], kwds: dict[str, Any]) -> bytes:
        """Request an object from the process that this manager started, else from one that serves
        the type; return the reply. Raises HostLost if there is none.
        """
        session = self.runtime.session
        tried, deadline = None, time.monotonic() + session.link.reconnect_timeout
        while True:
            host = self._host
            if host is None:
                host = host_ops.find(session, typeid)
                if self._process is None:
                    self._host = host
            if host is None or host == tried:
                raise HostLost(
                    f"no process serves {typeid!r} at {session.link.address} in the namespace "
                    f"{session.namespace!r}: start() a manager that registers it with a callable, "
                    "or let get_server().serve_forever() run in some process"
                )
            try:
                return results.request(
                    session, host, "create", typeid, args, kwds, self._name_first
                )
            except (HostNotFound, HostDied):
                if self._process is None:
                    self._host, tried = None, host
                elif self._is_serving() and time.monotonic() < deadline:
                    # The host registers again at a server that lost its data.
                    session.link.back_off()
                else:
                    raise HostLost(
                        "the process that this manager started has ended, and its objects with it, "
                        "or it does not answer: start another manager"
                    ) from None

    def _is_serving(self) -> bool:
        """Return True if the process that this manager started runs; in forked children False."""
        return os.getpid() == self.runtime.pid and bool(self._process.is_alive())

    # objects

    def names(self) -> list[str]:
        """Return the names of all named objects, sorted. 1 round trip, O(names)."""
        return sorted(object_ops.names(self.runtime.session))

    def delete(self, name: str) -> bool:
        """Delete the object of that name; return False if there is none. 1 round trip, 2 for one
        that a process hosts. Its proxies raise ObjectGone.
        """
        handle = self.runtime.session.handle(named(check_name(name)))
        host = hosted_ops.host_of(handle)
        deleted = object_ops.delete(handle)
        if host is not None:
            with contextlib.suppress(HostNotFound, HostDied, MultihostError):
                results.request(self.runtime.session, host, "delete", name)
        return deleted

    def _number_of_objects(self) -> int:
        """Return the number of objects in the namespace. O(keys of the server), for tests."""
        return len(object_ops.everything(self.runtime.session))

    def _debug_info(self) -> str:
        """Return a text about the objects in the namespace. O(keys of the server), for tests."""
        session = self.runtime.session
        return "\n".join(
            f"  {ident}:       lease={lease}\n    {what}"
            for ident, (what, lease) in sorted(object_ops.everything(session).items())
        )

    def _create_object(
        self,
        proxytype: type[AnyNative],
        name: str | None,
        create: Callable[[Handle], bool | str | None],
        detail: str = "",
    ) -> AnyNative:
        """Create the object or attach to it, and return a proxy.

        ``create`` may return the parameters of an object that exists.
        """
        session = self.runtime.session
        ident = session.references.new_ident() if name is None else named(check_name(name))
        handle = session.handle(ident)
        existing = create(handle)
        if isinstance(existing, str):
            detail = existing
        if name is None:
            session.references.add_created(handle.keys)
        return proxytype(handle, Token(proxytype._typeid_, ident, detail, session.origin), self)


def _failure(session: Session, answer: Any) -> BaseException:
    """Return the error of a failed creation: a RemoteError, as in multiprocessing, with the error
    of the host as its cause.
    """
    error = results.decode_error(session.codec.unsigned, answer)
    if isinstance(error, RemoteError) or answer[0] == results.TEXT:
        return error
    wrapped = RemoteError(str(error))
    wrapped.__cause__ = error
    return wrapped
