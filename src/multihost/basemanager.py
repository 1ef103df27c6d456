"""What every manager is: states, a connection, registered types, and what serves them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import ProcessError, current_process, get_context, util
from multiprocessing.managers import RemoteError
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeVar

from multihost.embedded import EmbeddedServer
from multihost.errors import HostLost, ManagerClosed, MultihostError
from multihost.proxies import hosted
from multihost.proxies.base import BaseProxy, NativeProxy, Token, token_from_answer
from multihost.serving.process import HostProcess, Server, Settings, start_process
from multihost.wire.address import Address, Credentials, Place, checked_place, parse, url_of
from multihost.wire.identity import named, new_unnamed
from multihost.wire.keys import check_name, check_namespace, names
from multihost.wire.link import Link
from multihost.wire.ops import object as object_ops
from multihost.wire.rpc import hosts as host_ops
from multihost.wire.rpc import objects as hosted_ops
from multihost.wire.rpc import results
from multihost.wire.rpc.client import HostDied, HostNotFound
from multihost.wire.script import check_server
from multihost.wire.session import Handle, Session, registry
from multihost.wire.values.codec import Codec, Serializer

__all__ = ["DEFAULT_NAMESPACE", "LEASE", "TIMEOUT", "BaseManager"]

DEFAULT_NAMESPACE = "multihost"
LEASE = 30.0
TIMEOUT = 10.0

AnyNative = TypeVar("AnyNative", bound=NativeProxy)


class BaseManager:
    """A way to shared objects: states, connection and names, and whatever types are registered.

    >>> class MathsManager(BaseManager):
    ...     pass
    >>> MathsManager.register("Maths", Maths)
    >>> with MathsManager() as manager:
    ...     manager.Maths().add(4, 3)

    ``address`` is a URL, or as in the standard library ``(host, port)`` or a socket path, on which
    ``start()`` and ``get_server()`` let a private server listen, protected by ``authkey``; without
    an address nobody else can reach it. ``authkey`` signs the values on a server that has a URL or
    listens on a port. ``lease`` (seconds) is how long unnamed objects outlive a killed holder,
    ``timeout`` (seconds) how long one answer of the server may take.
    """

    _registry: ClassVar[dict[str, Any]] = {}
    _native_types: ClassVar[frozenset[str]] = frozenset()
    _name_first = False
    _Server = Server

    def __init__(
        self,
        address: Place | None = None,
        authkey: bytes | None = None,
        serializer: Literal["pickle", "json", "xmlrpclib"] | Serializer = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
        namespace: str = DEFAULT_NAMESPACE,
        lease: float = LEASE,
        timeout: float = TIMEOUT,
    ) -> None:
        if lease <= 0 or timeout <= 0:
            raise ValueError(
                f"lease and timeout are positive numbers of seconds, not {lease!r} and {timeout!r}"
            )
        registry.serializer_of(serializer)  # refuses a bad one
        self._server_address: Address | None = None
        self._listen_address: Place | None = None
        credentials = Credentials()
        if isinstance(address, str) and "://" in address:
            self._server_address, credentials = parse(address)
        elif address is not None:
            self._listen_address = checked_place(address)
        self._address_argument = address
        self._configure(
            Settings(serializer, check_namespace(namespace), lease, timeout),
            credentials,
            bytes(authkey) if authkey is not None else None,
        )
        self._ctx = ctx or get_context()
        self._shutdown_timeout = shutdown_timeout

    def _configure(
        self, settings: Settings, credentials: Credentials, authkey: bytes | None
    ) -> None:
        self._settings = settings
        self._serializer = settings.serializer
        self._credentials = credentials
        self._explicit_authkey = authkey
        self._authkey = AuthenticationString(authkey or bytes(current_process().authkey))
        self._server: EmbeddedServer | None = None
        self._session: Session | None = None
        self._started: HostProcess | None = None
        self._process: Any = None
        self._host: str | None = None
        self._state: Literal["initial", "started", "shut down"] = "initial"

    # states

    def start(
        self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()
    ) -> None:
        """Start a private server, or connect to the one of the URL. 40 ms, or one round trip.

        The private server listens where the address says, else on a socket that only this user can
        open; it writes nothing to disk, and ends with this process, however that ends. If types are
        registered that a process has to serve, such a process is started as well, by ``ctx``, and
        calls ``initializer(*initargs)`` first; without such types it is called here.
        """
        self._check_new()
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        served = self._hosted_types()
        address, credentials, patience = self._resolve_server()
        try:
            if served:
                self._started = start_process(
                    self, served, address, credentials, initializer, tuple(initargs)
                )
                self._process, self._host, _ = self._started
            self._open(
                Link(
                    address, credentials, timeout=self._settings.timeout, reconnect_timeout=patience
                )
            )
        except BaseException:
            self._abort_start()
            raise
        if initializer is not None and not served:
            initializer(*initargs)

    def connect(self) -> None:
        """Connect to the server of the address. 2 round trips, once for each manager.

        Raises LinkError if it cannot be reached, AccessDenied if it refuses the password or lacks a
        permission, and ServerUnfit if it is too old or may evict data.
        """
        self._check_new()
        if self._server_address is not None:
            address = self._server_address
            self._sign()
        elif self._listen_address is not None:
            address, self._credentials = registry.embedded_credentials(
                url_of(self._listen_address), self._authkey
            )
        else:
            raise ValueError("connect() needs the address of a server: give a URL, or use start()")
        patience = registry.reconnect_timeout_for(address)
        self._open(
            Link(
                address,
                self._credentials,
                timeout=self._settings.timeout,
                reconnect_timeout=patience,
            )
        )

    def _resolve_server(self) -> tuple[Address, Credentials, float]:
        """Where the server is, which is started if it is a private one."""
        if self._server_address is not None:
            self._sign()
            return (
                self._server_address,
                self._credentials,
                registry.reconnect_timeout_for(self._server_address),
            )
        authkey = bytes(self._authkey)
        self._server = EmbeddedServer(
            lambda url: registry.embedded_credentials(url, authkey)[1].password,
            listen=self._listen_address,
        )
        address, self._credentials = registry.embedded_credentials(self._server.address, authkey)
        return address, self._credentials, 0.0

    def _sign(self) -> None:
        if self._explicit_authkey is not None:
            self._credentials = self._credentials._replace(authkey=self._explicit_authkey)

    def _open(self, link: Link) -> None:
        try:
            link.connect()
            if not link.address.is_embedded:
                check_server(link, names(self._settings.namespace, 0))
        except BaseException:
            link.close_now()
            raise
        settings = self._settings
        codec = Codec(self._credentials.authkey, registry.serializer_of(self._serializer))
        origin = registry.Origin(
            str(link.address),
            settings.namespace,
            settings.lease,
            settings.timeout,
            codec.ident,
            self._serializer,
        )
        self._session = Session(link, codec, origin)
        self._state = "started"
        registry.register(self._session, self._credentials)
        self._pid = os.getpid()
        self._finalizer = util.Finalize(
            self,
            _shutdown,
            (self._session, self._server, self._pid, True, *self._close()),
            exitpriority=0,
        )

    def _abort_start(self) -> None:
        """What has begun to start ends."""
        if self._started is not None:
            self._started.end(0.0)
        if self._server is not None:
            self._server.stop()
        self._started = self._process = self._server = None

    def _check_new(self) -> None:
        if self._state == "started":
            raise ProcessError("Already started server")
        if self._state == "shut down":
            raise ProcessError("Manager has shut down")

    def get_server(self) -> Server:
        """What serves the registered types in this process: ``get_server().serve_forever()``.

        Without a URL its private server listens from now on.
        """
        self._check_new()
        return self._Server(self)

    def shutdown(self) -> None:
        """Delete what this manager made without a name, and end its processes. A second time does
        nothing.

        Proxies of this process raise :class:`~multihost.ManagerClosed` from then on. Named objects
        stay, unless they were on the private server or in the process that served them.
        """
        if self._state == "started":
            self._state = "shut down"
            self._finalizer.cancel()  # in a forked child it would do nothing
            _shutdown(self._session, self._server, self._pid, False, *self._close())

    def _close(self) -> tuple[HostProcess | None, float]:
        return self._started, self._shutdown_timeout

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process that serves has ended, if there is one."""
        if self._process is not None:
            self._process.join(timeout)
            if not self._process.is_alive():
                self._process = None

    @property
    def address(self) -> Place | None:
        """Where the server is, in the form that was given: its URL, without user name and password,
        its ``(host, port)`` or its socket path; None before ``start()`` if none was given.
        """
        if self._session is None:
            return (
                str(self._server_address)
                if self._server_address is not None
                else self._address_argument
            )
        where = self._session.link.address
        if self._listen_address is None:
            return str(where)
        if isinstance(self._listen_address, str):
            return self._listen_address
        return self._listen_address[0] or "0.0.0.0", where.port  # noqa: S104 - said, not done

    def __enter__(self) -> Self:
        if self._state == "initial":
            self.start()
        if self._state != "started":
            raise ProcessError("Manager has shut down")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

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
        proxytype: Callable[..., BaseProxy] | None = None,
        exposed: Iterable[str] | None = None,
        method_to_typeid: Mapping[str, str] | None = None,
        create_method: bool = True,
    ) -> None:
        """Register a type whose objects live in the process that serves them.

        ``callable`` makes an object, there; without one the type is for managers that connect.
        ``proxytype`` is a subclass of :class:`BaseProxy`, by default one with the public methods of
        the object. ``exposed`` names the methods that may be called, ``method_to_typeid`` those
        whose results become objects themselves. A proxy type of this package works, too.

        The object is named by ``name=``, unless the callable takes that itself, and by a leading
        ``str`` where managers take names first. A named object is created by the first who asks
        for it; if its process died, by the first who asks a living one.
        """
        if "_registry" not in cls.__dict__:
            cls._registry = cls._registry.copy()
        proxytype = proxytype or hosted.AutoProxy
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
                token, names = self._create(typeid, *args, **kwds)
                return hosted.make(proxytype, names, token, self)

            create.__name__ = create.__qualname__ = typeid
            setattr(cls, typeid, create)

    def _hosted_types(self) -> dict[str, Any]:
        """The registered types that a process has to serve."""
        return {
            typeid: entry
            for typeid, entry in self._registry.items()
            if typeid not in self._native_types
        }

    def _is_native(self, typeid: str) -> bool:
        return typeid in self._native_types

    def _create(self, typeid: str, /, *args: Any, **kwds: Any) -> tuple[Token, Any]:
        """Create an object where it is served; what to make a proxy of."""
        session = self._open_session()
        answer = session.codec.load(self._create_on_host(typeid, args, kwds)[1:])
        if answer[0] != results.PROXY:
            raise _failure(session, answer)
        return token_from_answer(session, answer)

    def _create_on_host(self, typeid: str, args: tuple[Any, ...], kwds: dict[str, Any]) -> bytes:
        """Ask the process that this manager started, else one that serves the type."""
        session = self._open_session()
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
                    session.link.back_off()  # a server that lost its data hears of the host again
                else:
                    raise HostLost(
                        "the process that this manager started has ended, and its objects with it, "
                        "or it does not answer: start another manager"
                    ) from None

    def _is_serving(self) -> bool:
        """Whether the process runs that this manager started; only its parent knows."""
        return os.getpid() == self._pid and bool(self._process.is_alive())

    # objects

    def names(self) -> list[str]:
        """The names of all named objects, sorted. 1 round trip, O(names)."""
        return sorted(object_ops.names(self._open_session()))

    def delete(self, name: str) -> bool:
        """Delete the object of that name; whether there was one. 1 round trip, 2 for one that a
        process hosts. Its proxies raise ObjectGone.
        """
        handle = self._open_session().handle(named(check_name(name)))
        host = hosted_ops.host_of(handle)
        deleted = object_ops.delete(handle)
        if host is not None:
            with contextlib.suppress(HostNotFound, HostDied, MultihostError):
                results.request(self._open_session(), host, "delete", name)
        return deleted

    def _number_of_objects(self) -> int:
        """How many objects there are in the namespace. O(keys of the server), for tests."""
        return len(object_ops.everything(self._open_session()))

    def _debug_info(self) -> str:
        """What is known of the objects in the namespace. O(keys of the server), for tests."""
        session = self._open_session()
        return "\n".join(
            f"  {ident}:       lease={lease}\n    {what}"
            for ident, (what, lease) in sorted(object_ops.everything(session).items())
        )

    def _open_session(self) -> Session:
        if self._state == "shut down":
            raise ManagerClosed("the manager has shut down: create another one")
        assert self._session is not None, "server not yet started"
        return self._session

    def _create_object(
        self,
        proxytype: type[AnyNative],
        name: str | None,
        create: Callable[[Handle], bool | str | None],
        detail: str = "",
    ) -> AnyNative:
        """Create the object or attach to it, and return a proxy.

        ``create`` may tell the parameters of an object that was there.
        """
        session = self._open_session()
        ident = new_unnamed() if name is None else named(check_name(name))
        handle = session.handle(ident)
        there = create(handle)
        if isinstance(there, str):
            detail = there
        if name is None:
            session.references.add_created(handle.keys)
        return proxytype(handle, Token(proxytype._typeid, ident, detail, session.origin), self)


def _shutdown(
    session: Session | None,
    server: EmbeddedServer | None,
    pid: int,
    forgotten: bool,
    served: HostProcess | None,
    timeout: float,
) -> None:
    """End a manager: in its own process for everyone, in a forked child only there.

    One that was forgotten, at the end of the process or before, was not told to delete what other
    processes may hold.
    """
    assert session is not None
    if served is not None and os.getpid() == pid:
        served.end(timeout)
    registry.unregister(session)
    if server is None and forgotten:
        session.close_at_exit()
    elif server is None:
        session.close()
    else:
        session.close_now()
        if os.getpid() == pid:
            server.stop()


def _failure(session: Session, answer: Any) -> BaseException:
    """Why an object was not created: as there a RemoteError, and its cause the error itself."""
    error = results.decode_error(session.codec, answer)
    if isinstance(error, RemoteError) or answer[0] == results.TEXT:
        return error
    wrapped = RemoteError(str(error))
    wrapped.__cause__ = error
    return wrapped
