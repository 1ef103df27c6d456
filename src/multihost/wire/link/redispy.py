"""A channel over a connection of redis-py: for TLS, and for clients that a user passes.

No other module imports redis.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from multihost.wire.address import Address, Credentials
from multihost.wire.link.channel import (
    EMPTY_COMMAND,
    Channel,
    ConnectionBroken,
    Reply,
    ReplyTimeout,
    is_rejected,
    refused,
)
from multihost.wire.replies import ReplyError

__all__ = ["ClientChannel", "client_connector", "from_client"]


# redis-py takes the code out of the text of these errors.
_CODES = {
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "ReadOnlyError": "READONLY",
    "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "AskError": "ASK",
    "MovedError": "MOVED",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ExecAbortError": "EXECABORT",
}


def _as_reply(error: Exception) -> ReplyError:
    """Return the error reply from which redis-py made an error."""
    code = _CODES.get(type(error).__name__)
    return ReplyError(f"{code} {error}" if code else str(error))


class ClientChannel:
    """A channel over a connection of redis-py."""

    def __init__(self, connection: Any) -> None:
        import redis.exceptions

        self._connection = connection
        self._timeout: dict[str, float] = {}
        self.loaded_scripts: set[object] = set()
        self._is_shut = False  # maybe by another thread, in the middle of an exchange
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
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Reply]:
        self._write(requests)
        replies: list[Reply] = [self._read()]
        if is_rejected(replies[0]):
            return replies
        how: dict[str, Any] = {} if seconds is None else {"timeout": seconds}
        while len(replies) < count:
            if not grace:
                replies.append(self._read(**how))
                continue
            try:
                replies.append(self._read(disconnect_on_error=False, **how))
            except ReplyTimeout:
                self._write(EMPTY_COMMAND)
                how, grace = {"timeout": grace}, 0.0
        return replies

    def _write(self, requests: bytes) -> None:
        with self._translated():
            self._connection.send_packed_command([requests])

    def limit(self, seconds: float) -> None:
        self._timeout = {"timeout": seconds}

    def _read(self, **how: Any) -> Reply:
        how = self._timeout | how
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
            raise ReplyTimeout("no answer within the timeout") from error
        except (self._errors.ConnectionError, OSError) as error:
            raise ConnectionBroken(str(error) or type(error).__name__) from error
        except Exception as error:
            if self._is_shut:  # redis-py finds nothing where its socket was, and raises anything
                raise ConnectionBroken("closed") from error
            raise

    def fileno(self) -> int:
        sock = getattr(self._connection, "_sock", None)  # a fakeredis has none
        return sock.fileno() if isinstance(sock, socket.socket) else -1

    def _plain(self, reply: Reply) -> Reply:
        if isinstance(reply, self._errors.RedisError):
            return _as_reply(reply)
        if isinstance(reply, list):
            return [self._plain(item) for item in reply]
        return reply

    def close(self) -> None:
        self._connection.disconnect()  # in a forked child the parent's connection stays open

    def shutdown(self) -> None:
        self._is_shut = True
        self.interrupt()
        self.close()

    def interrupt(self) -> None:
        if self.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - no public name


def client_connector(address: Address, credentials: Credentials) -> Callable[[float], Channel]:
    """Return a function that opens a channel for a TLS URL, or one with other options."""
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
    return _pool_connector(pool)


def _pool_connector(pool: Any) -> Callable[[float], Channel]:
    """Return a function that opens a channel as ``pool`` would, but without its retries."""
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
        except (RedisError, OSError) as error:
            reply = _as_reply(error)
            if isinstance(error, (AuthenticationError, AuthorizationError)):
                reply = ReplyError(f"WRONGPASS {error}")  # the same to us, whatever its code is
            elif reply.refusal is None and isinstance(
                error, (RedisConnectionError, RedisTimeoutError, OSError)
            ):
                raise ConnectionBroken(str(error)) from error
            raise refused(reply, "the address of the client") from None
        return ClientChannel(connection)

    return open_


def from_client(client: Any) -> tuple[Address, Callable[[float], Channel]]:
    """Return the address of a redis-py client or a fakeredis, and a function that opens a channel.

    Raises TypeError for another client.
    """
    import inspect  # redis has imported it already

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
    return address, _pool_connector(pool)
