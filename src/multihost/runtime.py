"""A connection to a server, opened and closed once: managers own one, and so do host processes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from multiprocessing import current_process, util
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from multihost.errors import LinkError, ManagerClosed, MultihostError
from multihost.wire.address import (
    EMBEDDED,
    GIVEN,
    PRIVATE,
    Address,
    Credentials,
    ListenAddress,
    check_listen_address,
    parse,
    url_of,
)
from multihost.wire.authkey import check_authkey, stretched
from multihost.wire.link import (
    Channel,
    Instance,
    Link,
    Replicas,
    Route,
    connector_for,
    from_client,
    link_to,
    note_end,
)
from multihost.wire.session import Session, registry
from multihost.wire.values.signed import codec_for

if TYPE_CHECKING:
    from multihost.embedded import EmbeddedServer

__all__ = ["Runtime", "RuntimeOwner", "Settings"]


class Settings(NamedTuple):
    """How a manager stores objects. It holds no secret and can be pickled."""

    serializer: Any  # "pickle", "json", "xmlrpclib" or an object with dumps and loads
    namespace: str
    lease: float
    timeout: float
    grace: float | None = None
    replicas: Replicas = 0


class RuntimeOwner(Protocol):
    """What has a runtime: a manager."""

    runtime: Runtime


class Runtime:
    """The address of a server and, once it is open, the session there.

    With an ``address``, from a URL, it connects to that server. Without one it starts a private
    server, which listens on ``listen``, or on a socket that only this user can open.
    """

    def __init__(
        self,
        settings: Settings,
        address: Address | None = None,
        credentials: Credentials = Credentials(),  # noqa: B008 - a tuple
        listen: ListenAddress | None = None,
        authkey: bytes | None = None,
    ) -> None:
        self.settings: Settings = settings
        self.address: Address | None = address
        self.credentials: Credentials = credentials
        self.authkey: bytes = check_authkey(
            current_process().authkey if authkey is None else authkey
        )
        self.embedded: EmbeddedServer | None = None  # the private server that this one started
        self.state: Literal["initial", "started", "shut down"] = "initial"
        self.pid: int = 0  # of the process that opened it
        self._listen = listen
        self._configured = address, credentials
        self._session: Session | None = None

    @classmethod
    def at(cls, given: ListenAddress | None, settings: Settings, authkey: bytes | None) -> Runtime:
        """Return one for the address that a user gave: a URL, ``(host, port)``, a path or None."""
        if isinstance(given, str) and given == PRIVATE:
            given = None
        if isinstance(given, str) and "://" in given:
            address, credentials = parse(given)
            if authkey is not None:  # it signs the values there
                credentials = credentials._replace(authkey=stretched(check_authkey(authkey)))
            return cls(settings, address, credentials, None, authkey)
        listen = None if given is None else check_listen_address(given)
        return cls(settings, listen=listen, authkey=authkey)

    def copy(self) -> Runtime:
        """Return one that is configured alike, and not open."""
        return Runtime(self.settings, *self._configured, self._listen, bytes(self.authkey))

    # opening

    def start_server(self) -> None:
        """Start the private server, unless there is an address to connect to. 40 ms."""
        if self.address is not None:
            return
        from multihost.embedded import EmbeddedServer  # those with a URL need none

        authkey = bytes(self.authkey)
        if self._listen is None:
            self.embedded = EmbeddedServer(
                lambda url: registry.private_credentials(_private(url, EMBEDDED), authkey).password
            )
            self.address = _private(self.embedded.address, EMBEDDED)
        else:
            instance = Instance(stretched(authkey), parse(url_of(self._listen))[0].scheme)
            self.embedded = EmbeddedServer(
                lambda _url: instance.password, listen=self._listen, config=instance.config
            )
            try:
                instance.prepare(self.embedded.local)
            except BaseException:
                self.abort()
                raise
            self.address = _private(self.embedded.address, GIVEN)
        self.credentials = registry.private_credentials(self.address, authkey)

    def connect(self) -> None:
        """Open a session at a server that runs. 2 round trips."""
        if self.address is None:
            if self._listen is None:
                raise ValueError(
                    "connect() needs the address of a server: give a URL, or use start()"
                )
            self.address = _private(url_of(self._listen), GIVEN)
            self.credentials = registry.private_credentials(self.address, self.authkey)
        self.open()

    def open(self, before_close: Callable[[], object] | None = None) -> None:
        """Open a session at the address. 2 round trips.

        ``before_close`` is called first when the runtime is closed, by the process that opened it.
        Raises LinkError, AccessDenied and ServerUnfit; it can be tried again then.
        """
        try:
            address = self.address
            assert address is not None, "the server is not started"
            route, patience = None, registry.reconnect_timeout_for(address)
            if self.embedded is not None:
                # Of a private server that is lost its owner knows that it does not return.
                route = Route(_while_alive(self.embedded, address, self.credentials))
                patience = 0.0
            self._open(
                link_to(
                    address,
                    self.credentials,
                    timeout=self.settings.timeout,
                    reconnect_timeout=patience,
                    route=route,
                    replicas=self.settings.replicas,
                ),
                before_close,
            )
        except LinkError as error:
            self.abort()
            raise error.with_traceback(None) from None  # of the server, not of these frames
        except BaseException:
            self.abort()
            raise

    def open_like(self, client: Any, authkey: bytes | None) -> None:
        """Open a session with the settings of a ``redis.Redis`` or a ``fakeredis.FakeRedis``."""
        used = from_client(client)
        self.address = used.address
        self.credentials = used.credentials
        if authkey is not None:
            self.credentials = self.credentials._replace(authkey=stretched(self.authkey))
        link = link_to(
            self.address,
            self.credentials,
            timeout=self.settings.timeout,
            route=used.route,
            replicas=self.settings.replicas,
        )
        try:
            self._open(link)
        except LinkError as error:
            raise error.with_traceback(None) from None

    def _open(self, link: Link, before_close: Callable[[], object] | None = None) -> None:
        try:
            self._open_session(link, before_close)
        except BaseException:
            session, self._session = self._session, None
            if session is not None:  # a signal came behind it
                registry.unregister(session)
                session.close_now()
            link.close_now()
            self.state = "initial"
            raise

    def _open_session(self, link: Link, before_close: Callable[[], object] | None) -> None:
        settings = self.settings
        registry.connect(link, settings.namespace)
        serializer = registry.serializer_of(settings.serializer)
        codec = codec_for(self.credentials.authkey, serializer, settings.namespace)
        origin = registry.Origin(
            str(link.address),
            settings.namespace,
            settings.lease,
            settings.timeout,
            codec.ident,
            settings.serializer,
            settings.grace,
            settings.replicas,
        )
        self._session = session = Session(link, codec, origin)
        self.state = "started"
        registry.register(session, self.credentials)
        self.pid = os.getpid()
        self._ends = session, self.embedded, self.pid, before_close
        self._finalizer = util.Finalize(self, _close, (*self._ends, True), exitpriority=0)

    def abort(self) -> None:
        """Undo what was begun to open it: stop the private server."""
        if self.embedded is not None:
            self.embedded.stop()
        self.embedded = None
        self.address, self.credentials = self._configured

    # open

    @property
    def session(self) -> Session:
        """The open session. Raises ManagerClosed after the end. No round trip."""
        if self.state == "shut down":
            raise ManagerClosed("the manager has shut down: create another one")
        assert self._session is not None, "server not yet started"
        return self._session

    @property
    def listen_address(self) -> ListenAddress | None:
        """The address in the form that was given, without user name and password, and with the port
        that the server got; None if none was given and no server was started.
        """
        if self._listen is None:
            return None if self.address is None else str(self.address)
        if isinstance(self._listen, str) or self.address is None:
            return self._listen
        return self._listen[0] or "0.0.0.0", self.address.port  # noqa: S104 - shown, not bound

    # closing

    def close(self) -> None:
        """Delete what this process created without a name, and end the session and the private
        server. Does nothing if it is not open.
        """
        if self.state == "started":
            try:
                self.state = "shut down"
                self._finalizer.cancel()  # in a forked child it would do nothing
                _close(*self._ends, False)
            except BaseException:
                _close_now(*self._ends)
                raise


def _private(url: str, options: tuple[tuple[str, str], ...]) -> Address:
    """Return the address of a private server."""
    return parse(url)[0]._replace(options=options)


def _while_alive(
    server: EmbeddedServer, address: Address, credentials: Credentials
) -> Callable[[float], Channel]:
    """Return what opens channels in the process that started a server, and in those forked from it,
    which know when it has ended: whoever has its address then is another one.
    """
    connect = connector_for(address, credentials)

    def connect_if_alive(timeout: float) -> Channel:
        if not server.alive():
            note_end(address)
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the private server has ended")
        return connect(timeout)

    return connect_if_alive


def _close(
    session: Session,
    server: EmbeddedServer | None,
    pid: int,
    before_close: Callable[[], object] | None,
    collected: bool,
) -> None:
    """Close a runtime: in its own process for all, in a forked child for that child alone.

    One that was garbage collected, or lived until the process exits, was not asked to delete what
    other processes may hold.
    """
    is_owner = os.getpid() == pid
    if before_close is not None and is_owner:
        before_close()
    registry.unregister(session)
    if server is not None:
        session.close_now()
        if collected:
            server.release()  # a process that was forked may have detached, and go on with it
        else:
            server.stop()
    elif collected:
        session.close_at_exit()
    else:
        session.close()


def _close_now(
    session: Session, server: EmbeddedServer | None, pid: int, _: Callable[[], object] | None
) -> None:
    """End what an interrupted :func:`_close` left: on the server it is left to expire."""
    registry.unregister(session)
    if server is None and not session.link.is_closed:
        session.link.stop_retrying()
        with contextlib.suppress(MultihostError):
            session.references.renew_moving()  # what was moved there has no lease before
    session.close_now()
    if server is not None and os.getpid() == pid:
        server.stop()
