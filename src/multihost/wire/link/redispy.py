"""Connections of redis-py: for TLS, for Sentinels, and for clients that a user passes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from multihost.wire.address import (
    CLUSTER_SCHEMES,
    CONNECTING,
    DEFAULT_PORT,
    SENTINEL,
    Address,
    Credentials,
    join_hosts,
)
from multihost.wire.link.channel import (
    Channel,
    ConnectionBroken,
    Node,
    refuse_replica,
    refused,
)
from multihost.wire.link.client_channel import UNREADABLE, ClientChannel, as_reply, broken_by
from multihost.wire.link.greeting import is_lacking
from multihost.wire.link.named import may_move, named_route, role_in
from multihost.wire.link.options import check_options, explain_file, warn_if_unverified
from multihost.wire.link.resp import pack
from multihost.wire.link.sentinel import (
    Master,
    is_sentinel_pool,
    sentinel_address,
    sentinel_secrets,
    sentinels,
    sentinels_of,
    text_options,
)
from multihost.wire.link.topology import Attempts, Route
from multihost.wire.printable import printable
from multihost.wire.redaction import Redactor
from multihost.wire.replies import ReplyError

__all__ = [
    "FromClient",
    "client_connector",
    "client_opener",
    "from_client",
    "sentinel_route",
]

# Options that tie a connection to its pool. A server that does not know the notifications that the
# pool asks for has its answer written to a log of redis-py.
_OVERRIDDEN = {"health_check_interval", "legacy_responses", "retry_on_error", "retry_on_timeout"}
_OF_SENTINELS = (SENTINEL + "ssl", SENTINEL + "min_other_sentinels")  # not of connections to them
_OF_THE_POOL = ("maint_notifications_config", "maint_notifications_pool_handler")


def client_connector(
    address: Address, credentials: Credentials, *, follow: bool = False
) -> Callable[[float], Channel]:
    """Return a function that opens a channel for a TLS URL, or one with other options; with
    ``follow`` to no replica. Raises ValueError for options that do not exist, or do not have such
    values, and a LinkError for a file that cannot be read.
    """
    pool = _checked_pool(address, credentials, address)
    opener = _Opener(pool, address, Redactor(credentials.secrets), follow)
    return opener.open


def client_opener(
    address: Address, credentials: Credentials, shown: Address, *, follow: bool = True
) -> Callable[[Node, float], Channel]:
    """Return the same for servers that are not known yet. ``shown`` is the address for errors."""
    pool = _checked_pool(address._replace(host="localhost"), credentials, shown)
    return _Opener(pool, shown, Redactor(credentials.secrets), follow).open_at


def sentinel_route(
    address: Address, credentials: Credentials, open_at: Callable[[Node, float], Channel]
) -> Route:
    """Return the way to the master that the Sentinels of an address name. Raises ValueError for
    options that do not exist, or do not have such values.
    """
    import redis

    redact = Redactor(credentials.secrets)
    how = {
        name.removeprefix(SENTINEL): value
        for name, value in address.options + credentials.secret_options
        if name.startswith(SENTINEL) and name not in _OF_SENTINELS
    }
    tls = any(name.startswith("ssl_") for name in how)
    try:
        _check_options(Address("rediss" if tls else "redis"), how)
        found = sentinels(address, credentials)
    except (TypeError, ValueError, redis.RedisError) as error:
        problem = printable(redact(str(error)))
    else:
        warn_if_unverified(address)
        return _route_by(Master(found, address.path), open_at, redact)
    raise ValueError(f"an option of the URL {address} for its Sentinels: {problem}")


def _route_by(master: Master, open_at: Callable[[Node, float], Channel], redact: Redactor) -> Route:
    import redis.sentinel

    attempts = Attempts()

    def open_(timeout: float) -> Channel:
        handled = sys.exception()
        try:
            node = master.find()
        except redis.sentinel.MasterNotFoundError as error:
            # Behind that it names each Sentinel by the options of its client.
            broken = ConnectionBroken(printable(str(error).partition(" : ")[0]))
        except (redis.RedisError, OSError) as error:
            broken = broken_by(error, redact, handled)
        else:
            channel = attempts.make(partial(open_at, node), timeout)
            channel.node = node
            return channel
        raise broken

    return Route(open_, master)


def _checked_pool(address: Address, credentials: Credentials, shown: Address) -> Any:
    """Return a pool that makes connections to an address."""
    import redis

    redact = Redactor(credentials.secrets)
    kind: type[Exception] = ValueError
    try:
        _check_options(address, dict(address.options + credentials.secret_options))
        pool = redis.ConnectionPool.from_url(
            str(address._replace(options=address.options + credentials.secret_options)),
            username=credentials.username or None,
            password=credentials.password or None,
        )
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, redis.RedisError) as error:
        problem = redact(str(error))
    else:
        unreadable = explain_file(dict(address.options))
        if unreadable is None:
            warn_if_unverified(shown)
            return pool
        kind, *explained = unreadable
        problem = "; ".join(explained)
    raise kind(f"an option of the URL {shown}: {printable(problem)}")


def _check_options(address: Address, options: Mapping[str, str]) -> None:
    """Raise what :func:`check_options` raises, for connections of redis-py."""
    import inspect

    from redis.connection import Connection, SSLConnection

    connection_class = SSLConnection if address.scheme == "rediss" else Connection
    parameters = {
        name for each in connection_class.__mro__ for name in inspect.signature(each).parameters
    }
    known = (parameters & CONNECTING | {"db", "username", "password"}) - _OVERRIDDEN
    if address.scheme == "rediss":
        known.add("ssl_password")
    check_options(address, options, parameters, known)


class _Opener:
    """Opens channels as ``pool`` would, but without its retries; with ``follow`` to no replica."""

    def __init__(self, pool: Any, address: Address, redact: Redactor, follow: bool) -> None:
        self._pool = pool
        self._address = address
        self._redact = redact
        self._follow = follow

    def open(self, timeout: float) -> Channel:
        return self._open(None, timeout)

    def open_at(self, node: Node, timeout: float) -> Channel:
        """Open one to that server, which is not the one that the pool knows."""
        return self._open(node, timeout)

    def _open(self, node: Node | None, timeout: float) -> Channel:
        from redis.backoff import NoBackoff
        from redis.exceptions import (
            AuthenticationError,
            AuthorizationError,
            RedisError,
            ResponseError,
        )
        from redis.retry import Retry

        pool, redact = self._pool, self._redact
        options = {k: v for k, v in pool.connection_kwargs.items() if k not in _OF_THE_POOL}
        options.update(retry=Retry(NoBackoff(), 0), retry_on_error=[], health_check_interval=0)
        if options.get("socket_timeout") is None or options["socket_timeout"] < timeout:
            options["socket_timeout"] = timeout
        if node is not None and not is_sentinel_pool(pool):
            options |= {"host": node[0], "port": node[1]}
        handled = sys.exception()
        broken: Exception
        try:
            return self._checked(self._connected(options, node))
        except (RedisError, OSError) as error:
            reply = as_reply(error, redact)
            if isinstance(error, (AuthenticationError, AuthorizationError)):
                reply = ReplyError(f"WRONGPASS {reply}")  # the same to us, whatever its code is
            if reply.refusal is None and not isinstance(error, ResponseError):
                broken = broken_by(error, redact, handled)
            else:
                broken = refused(reply, self._address)
        except UNREADABLE as error:
            broken = broken_by(error, redact, handled)
        raise broken  # outside, for the error of redis-py may have what the server said

    def _connected(self, options: dict[str, Any], node: Node | None) -> Any:
        """Return a new connection of redis-py; in RESP2 where RESP3 is refused."""
        from redis.exceptions import ResponseError

        connection = self._pool.connection_class(**options)
        try:
            if is_sentinel_pool(self._pool):
                connection.connect_to(node)
            else:
                connection.connect()
            return connection
        except ResponseError as error:
            if options.get("protocol") == 2 or not is_lacking(as_reply(error, self._redact)):
                raise
        return self._connected(options | {"protocol": 2}, node)

    def _checked(self, connection: Any) -> Channel:
        channel = ClientChannel(connection, self._redact)
        if self._follow:
            greeting = connection.handshake_metadata
            role = greeting.get(b"role") if isinstance(greeting, dict) else None
            if role is None:  # with RESP2 the server does not say so by itself
                role = role_in(channel.exchange(pack((b"INFO", b"replication"))))
            channel.node = channel.peer
            try:
                refuse_replica(role, self._address)
            except ConnectionBroken:
                channel.close()
                raise
        return channel


class FromClient(NamedTuple):
    """What multihost takes from a client: where it connects to, as whom, and how."""

    address: Address
    credentials: Credentials
    route: Route


def from_client(client: Any) -> FromClient:
    """Return what is used of a redis-py client or a fakeredis. Raises TypeError for another
    client.
    """
    import inspect  # redis has imported it already

    if inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
        raise TypeError("client= takes a client of redis or fakeredis, not one of their asyncio")
    if hasattr(client, "nodes_manager"):
        return _from_cluster(client.nodes_manager)
    pool = getattr(client, "connection_pool", None)
    if pool is None or not hasattr(pool, "connection_kwargs"):
        raise TypeError(
            "client= takes a redis.Redis, a redis.RedisCluster or a fakeredis.FakeRedis, not "
            f"{type(client).__name__}"
        )
    address, credentials = _address_of(pool), _credentials_of(pool)
    warn_if_unverified(address)
    redact = Redactor(credentials.secrets)
    if is_sentinel_pool(pool):
        opener = _Opener(pool, address, redact, True)
        route = _route_by(Master(sentinels_of(pool), pool.service_name), opener.open_at, redact)
    elif address.scheme in ("redis", "rediss") and may_move(address.host):
        route = named_route(_Opener(pool, address, redact, True).open, address)
    else:
        route = Route(_Opener(pool, address, redact, False).open)
    return FromClient(address, credentials, route)


def _from_cluster(manager: Any) -> FromClient:
    """Return what is used of a ``redis.RedisCluster``: the servers that it knows are the seeds."""
    from multihost.wire.link.cluster.topology import cluster_route

    seeds = [(str(each.host), int(each.port)) for each in manager.nodes_cache.values() if each.host]
    pool = manager.default_node.redis_connection.connection_pool
    there, credentials = _address_of(pool), _credentials_of(pool)
    scheme = CLUSTER_SCHEMES[there.scheme == "rediss"]
    address = Address(scheme, join_hosts(seeds, DEFAULT_PORT), options=there.options)
    warn_if_unverified(address)
    opener = _Opener(pool, address, Redactor(credentials.secrets), False)
    route = cluster_route(address, seeds, opener.open_at, manager.remap_host_port)
    return FromClient(address, credentials, route)


def _address_of(pool: Any) -> Address:
    options = pool.connection_kwargs
    database = int(options.get("db") or 0)
    tls = tuple(text_options(options))
    if is_sentinel_pool(pool):
        return sentinel_address(pool, database, tls)
    if "server" in options:
        return Address("fake", host=f"{id(options['server']):x}", database=database)
    if options.get("path"):
        return Address("unix", path=str(options["path"]), database=database)
    scheme = "rediss" if "SSL" in pool.connection_class.__name__ else "redis"
    host, port = str(options.get("host", "localhost")), int(options.get("port", 6379))
    return Address(scheme, host=host, port=port, database=database, options=tls)


def _credentials_of(pool: Any) -> Credentials:
    """Return what a client sends to authenticate."""
    options = pool.connection_kwargs
    username, password = options.get("username"), options.get("password")
    provider = options.get("credential_provider")
    if provider is not None:
        *names, password = provider.get_credentials()
        username = names[0] if names else None
    secrets = [(n, _text(v)) for n, v in options.items() if n == "ssl_password" and v]
    if is_sentinel_pool(pool):
        secrets += sentinel_secrets(pool)
    return Credentials(_text(username), _text(password), secret_options=tuple(secrets))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
