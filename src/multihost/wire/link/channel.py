"""One connection: how it is opened, and how commands go over it. Nothing else imports redis.

Plain ``redis://`` and ``unix://`` speak RESP3 over a socket with hiredis alone: that is 1.8 times
as fast as a client object and spares every process the import of redis (0.1 to 0.2 s). TLS, and
clients that the user brings, go through a redis-py connection.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import hiredis

from multihost.errors import AccessDenied, LinkError, ServerUnfit
from multihost.wire.address import Address, Credentials
from multihost.wire.replies import ReplyError

__all__ = [
    "Broken",
    "Channel",
    "Command",
    "Late",
    "Reply",
    "from_client",
    "opener_for",
    "pack",
    "pack_all",
    "pack_args",
]

Reply = Any
Command = Sequence[bytes]

CONNECT_TIMEOUT = 5.0
NUDGE = b"\r\n"  # an empty command, which has no reply: the server wakes up, and looks at its clock


class Broken(Exception):
    """The connection is of no more use."""


class Late(Broken):
    """No answer came in time."""


class Channel(Protocol):
    """One connection. After any exception but ReplyError it must be closed."""

    known: set[object]
    """Scripts that the server is known to know."""

    def exchange(self, request: bytes) -> Reply: ...

    def exchange_many(self, requests: bytes, count: int) -> list[Reply]: ...

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        quiet: bool = False,
        count: int = 3,
        overdue: float = 0.0,
    ) -> list[Reply]:
        """Send ``count`` commands of which one blocks, not the first; wait for it ``seconds``,
        None: the usual time. Then nudge the server, which looks at its clock ten times a second,
        and wait ``overdue`` seconds more. After an error or a zero of the first only that is
        returned. If ``quiet`` there is no reply to the first one.
        """

    def fileno(self) -> int:
        """What to poll for the end of the connection; -1 if there is nothing."""

    def close(self) -> None: ...

    def break_off(self) -> None:
        """Wake a thread that waits for a reply, with :class:`Broken`; it closes the connection."""

    def shut(self) -> None:
        """Close, and wake a thread that waits for a reply. Not for a forked child: it would cut the
        parent off.
        """


# -- the wire format


FEW = 8


class _Lengths(dict[int, bytes]):
    def __missing__(self, size: int) -> bytes:
        return b"$%d" % size


_length = _Lengths({size: b"$%d" % size for size in range(1024)}).__getitem__


def pack_args(args: Sequence[bytes]) -> bytes:
    """Arguments as RESP, for 20 000 of them in a quarter of the time that hiredis takes."""
    if len(args) < FEW:
        few: list[bytes] = []
        for arg in args:
            few += (_length(len(arg)), arg)
        few.append(b"")
        return b"\r\n".join(few)
    pieces = [b""] * (2 * len(args) + 1)
    pieces[:-1:2] = map(_length, map(len, args))
    pieces[1::2] = args
    return b"\r\n".join(pieces)


def pack(command: Command) -> bytes:
    """A command as RESP."""
    return b"*%d\r\n%b" % (len(command), pack_args(command))


def pack_all(commands: Sequence[Command]) -> bytes:
    """Several commands, one behind the other."""
    return b"".join(map(pack, commands))


_UNFINISHED = object()


def refused(first: Reply) -> bool:
    """Whether the first of several commands says that the others make no sense."""
    return first == 0 or type(first) is ReplyError


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))


class SocketChannel:
    """A plain socket, read by hiredis."""

    __slots__ = ("_feed", "_gets", "_receive", "_send", "_socket", "_timeout", "known")

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        # A timeout kept by the kernel costs no poll() before each read, as settimeout() does.
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout))
        self._timeout = timeout
        self.known: set[object] = set()
        reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_UNFINISHED)
        self._socket = sock
        self._send, self._receive = sock.sendall, sock.recv
        self._feed, self._gets = reader.feed, reader.gets

    def exchange(self, request: bytes) -> Reply:
        try:
            self._send(request)
            data = self._receive(65536)
            if not data:
                raise Broken("the server closed the connection")
            self._feed(data)
            reply = self._gets()
            return self._rest() if reply is _UNFINISHED else reply
        except BlockingIOError:
            raise Late("no answer within the timeout") from None
        except (OSError, hiredis.ProtocolError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    def exchange_many(self, requests: bytes, count: int) -> list[Reply]:
        try:
            self._send(requests)
            replies = []
            for _ in range(count):
                reply = self._gets()
                replies.append(self._rest() if reply is _UNFINISHED else reply)
            return replies
        except BlockingIOError:
            raise Late("no answer within the timeout") from None
        except (OSError, hiredis.ProtocolError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        quiet: bool = False,
        count: int = 3,
        overdue: float = 0.0,
    ) -> list[Reply]:
        receive, feed, gets = self._receive, self._feed, self._gets
        if seconds is not None:
            self._limit(seconds)
        try:
            self._send(requests)
            replies: list[Reply] = [None] if quiet else []
            while True:
                try:
                    data = receive(65536)
                except BlockingIOError:
                    if not overdue:
                        raise
                    self._limit(overdue)
                    overdue = 0.0
                    self._send(NUDGE)
                    continue
                if not data:
                    raise Broken("the server closed the connection")
                feed(data)
                while (reply := gets()) is not _UNFINISHED:
                    replies.append(reply)
                if len(replies) == count or (replies and refused(replies[0])):
                    return replies
        except BlockingIOError:
            raise Late("no answer within the timeout") from None
        except (OSError, hiredis.ProtocolError) as error:
            raise Broken(str(error) or type(error).__name__) from error
        finally:
            if seconds is not None and self._socket.fileno() >= 0:
                self._limit(self._timeout)

    def _limit(self, seconds: float) -> None:
        limit = _timeval(max(seconds, 1e-6))  # zero would mean for ever
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    def fileno(self) -> int:
        return self._socket.fileno()

    def _rest(self) -> Reply:
        """Read on until the reply is whole. The buffer grows: a large one is slow to allocate."""
        size = 65536
        while True:
            data = self._receive(size)
            if not data:
                raise Broken("the server closed the connection")
            self._feed(data)
            reply = self._gets()
            if reply is not _UNFINISHED:
                return reply
            size = min(2 * size, 1 << 20)

    def close(self) -> None:
        self._socket.close()

    def break_off(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def shut(self) -> None:
        self.break_off()
        self._socket.close()


class ClientChannel:
    """A connection of redis-py: TLS, and whatever a client that the user brought knows."""

    _CODES: ClassVar = {
        "NoScriptError": "NOSCRIPT",
        "OutOfMemoryError": "OOM",
        "NoPermissionError": "NOPERM",
        "ReadOnlyError": "READONLY",
        "BusyLoadingError": "LOADING",
        "MasterDownError": "MASTERDOWN",
        "TryAgainError": "TRYAGAIN",
        "ClusterDownError": "CLUSTERDOWN",
        "ExecAbortError": "EXECABORT",
    }

    def __init__(self, connection: Any) -> None:
        import redis.exceptions

        self._connection = connection
        self.known: set[object] = set()
        self._errors = redis.exceptions

    def exchange(self, request: bytes) -> Reply:
        return self.exchange_many(request, 1)[0]

    def exchange_many(self, requests: bytes, count: int) -> list[Reply]:
        self._write(requests)
        return [self._read() for _ in range(count)]

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        quiet: bool = False,
        count: int = 3,
        overdue: float = 0.0,
    ) -> list[Reply]:
        self._write(requests)
        replies: list[Reply] = [None if quiet else self._read()]
        if refused(replies[0]):
            return replies
        how: dict[str, Any] = {} if seconds is None else {"timeout": seconds}
        while len(replies) < count:
            if not overdue:
                replies.append(self._read(**how))
                continue
            try:
                replies.append(self._read(disconnect_on_error=False, **how))
            except Late:
                self._write(NUDGE)
                how, overdue = {"timeout": overdue}, 0.0
        return replies

    def _write(self, requests: bytes) -> None:
        with self._translated():
            self._connection.send_packed_command([requests])

    def _read(self, **how: Any) -> Reply:
        with self._translated():
            try:
                return self._plain(self._connection.read_response(disable_decoding=True, **how))
            except self._errors.ResponseError as error:
                return self._plain(error)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors.TimeoutError as error:
            raise Late("no answer within the timeout") from error
        except (self._errors.ConnectionError, OSError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    def fileno(self) -> int:
        sock = getattr(self._connection, "_sock", None)  # a fakeredis has none
        return sock.fileno() if isinstance(sock, socket.socket) else -1

    def _plain(self, reply: Reply) -> Reply:
        if isinstance(reply, self._errors.RedisError):
            code = self._CODES.get(type(reply).__name__)
            return ReplyError(f"{code} {reply}" if code else str(reply))
        if isinstance(reply, list):
            return [self._plain(item) for item in reply]
        return reply

    def close(self) -> None:
        self._connection.disconnect()  # which in a forked child leaves the parent's connection up

    shut = close

    def break_off(self) -> None:
        if self.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._connection._sock.shutdown(socket.SHUT_RDWR)


# -- opening a connection


def _open_socket(address: Address, credentials: Credentials, timeout: float) -> SocketChannel:
    if address.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _Opening(sock):
            sock.settimeout(min(CONNECT_TIMEOUT, timeout))
            sock.connect(address.path)
    else:
        place = address.host, address.port
        sock = socket.create_connection(place, min(CONNECT_TIMEOUT, timeout))
        with _Opening(sock):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(sock)
    with _Opening(sock):
        channel = SocketChannel(sock, timeout)
        _greet(channel, address, credentials)
    return channel


def _keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out that the other end is gone: who is blocked there does not write."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # the first is called otherwise on macOS
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class _Opening(contextlib.AbstractContextManager[None]):
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self._socket.close()


def _greet(channel: SocketChannel, address: Address, credentials: Credentials) -> None:
    hello: list[bytes] = [b"HELLO", b"3"]
    if credentials.password or credentials.username:
        user = credentials.username or "default"
        hello += [b"AUTH", user.encode(), credentials.password.encode()]
    hello += [b"SETNAME", b"multihost"]
    commands: list[Command] = [hello]
    if address.database:
        commands.append((b"SELECT", b"%d" % address.database))
    for reply in channel.exchange_many(pack_all(commands), len(commands)):
        if type(reply) is ReplyError:
            if reply.code in ("WRONGPASS", "NOAUTH", "NOPERM"):
                raise AccessDenied(
                    f"the server at {address} refuses the user name or password; "
                    "give them in the URL of RedisManager or in MULTIHOST_URL"
                )
            if reply.code in ("LOADING", "MASTERDOWN"):
                raise Broken(str(reply))
            raise ServerUnfit(f"the server at {address} is not Redis 6.2, Valkey or newer: {reply}")


def _client_opener(address: Address, credentials: Credentials) -> Callable[[float], Channel]:
    """Connections for a TLS URL, or one with other options, made by redis-py."""
    import redis

    pool = redis.ConnectionPool.from_url(
        str(address._replace(options=address.options + credentials.secret_options)),
        username=credentials.username or None,
        password=credentials.password or None,
    )
    try:
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as error:
        raise ValueError(f"the URL {address} has an option that is unknown: {error}") from None
    return _pool_opener(pool)


def _pool_opener(pool: Any) -> Callable[[float], Channel]:
    """Connections like those of ``pool``, without its retries."""
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, AuthorizationError, RedisError
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import TimeoutError as RedisTimeoutError
    from redis.retry import Retry

    def open_(timeout: float) -> Channel:
        options = dict(pool.connection_kwargs)
        options.update(retry=Retry(NoBackoff(), 0), retry_on_error=[], health_check_interval=0)
        if options.get("socket_timeout") is None or options["socket_timeout"] < timeout:
            options["socket_timeout"] = timeout
        connection = pool.connection_class(**options)
        try:
            connection.connect()
        except (AuthenticationError, AuthorizationError) as error:
            raise AccessDenied(f"the server refuses the user name or password: {error}") from None
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise Broken(str(error)) from error
        except RedisError as error:
            raise LinkError(f"the client that was given cannot connect: {error}") from error
        return ClientChannel(connection)

    return open_


def opener_for(address: Address, credentials: Credentials) -> Callable[[float], Channel]:
    """How to connect to an address, within a timeout for each reply."""
    if address.scheme == "rediss" or (address.options and not address.is_embedded):
        return _client_opener(address, credentials)
    return lambda timeout: _open_socket(address, credentials, timeout)


def from_client(client: Any) -> tuple[Address, Callable[[float], Channel]]:
    """The address and the connections of a redis-py client or a fakeredis."""
    import inspect  # whoever has a client has it already

    pool = getattr(client, "connection_pool", None)
    if pool is None or not hasattr(pool, "connection_kwargs"):
        raise TypeError(
            f"client= takes a redis.Redis or a fakeredis.FakeRedis, not {type(client).__name__}"
            + (
                "; a cluster client is not supported yet"
                if "Cluster" in type(client).__name__
                else ""
            )
        )
    if inspect.iscoroutinefunction(client.execute_command):
        raise TypeError("client= takes a client of redis or fakeredis, not one of their asyncio")
    options = pool.connection_kwargs
    database = int(options.get("db") or 0)
    if "server" in options:
        address = Address("fake", host=f"{id(options['server']):x}", database=database)
    elif options.get("path"):
        address = Address("unix", path=str(options["path"]), database=database)
    else:
        scheme = "rediss" if "SSL" in pool.connection_class.__name__ else "redis"
        host, port = str(options.get("host", "localhost")), int(options.get("port", 6379))
        address = Address(scheme, host=host, port=port, database=database)
    return address, _pool_opener(pool)
