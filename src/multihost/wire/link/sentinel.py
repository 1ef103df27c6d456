"""The master that Sentinels watch: how an address describes it, and the client that finds it.

The address names the Sentinels and their service, ``redis+sentinel://host:port,host:port/service/0``,
and never the master, which may be another one at the next connection. Options that begin with
``sentinel_`` are for the connections to the Sentinels, the others for that to the master.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from multihost.wire.address import (
    SENTINEL,
    SENTINEL_SCHEMES,
    Address,
    Credentials,
    join_hosts,
    split_hosts,
)
from multihost.wire.link.channel import Node

__all__ = [
    "Master",
    "is_sentinel_pool",
    "of_the_master",
    "sentinel_address",
    "sentinel_secrets",
    "sentinels",
    "sentinels_of",
    "text_options",
]

ASK = 1.0  # seconds for which one Sentinel is asked, unless an option says otherwise
TRUE = frozenset(["1", "t", "true", "y", "yes"])


def is_sentinel_pool(pool: Any) -> bool:
    """Return True for the connection pool of ``Sentinel.master_for()`` or ``slave_for()``."""
    return hasattr(pool, "sentinel_manager") and hasattr(pool, "service_name")


def sentinel_address(pool: Any, database: int, options: tuple[tuple[str, str], ...]) -> Address:
    """Return the address for such a pool. Raises TypeError for one of replicas."""
    if not pool.is_master:
        raise TypeError(
            "client= takes the client of a master: Sentinel.master_for(), a replica takes no writes"
        )
    manager = pool.sentinel_manager
    asked = [each.connection_pool.connection_kwargs for each in manager.sentinels]
    more = dict(text_options(manager.sentinel_kwargs))
    scheme = SENTINEL_SCHEMES["SSL" in pool.connection_class.__name__]
    tls = bool(manager.sentinel_kwargs.get("ssl"))
    if tls != (scheme == SENTINEL_SCHEMES[1]):
        more["ssl"] = str(tls)
    if manager.min_other_sentinels:
        more["min_other_sentinels"] = str(manager.min_other_sentinels)
    return Address(
        scheme,
        host=join_hosts((str(kwds["host"]), int(kwds["port"])) for kwds in asked),
        path=str(pool.service_name),
        database=database,
        options=(*((SENTINEL + name, value) for name, value in more.items()), *options),
    )


def sentinel_secrets(pool: Any) -> tuple[tuple[str, str], ...]:
    """Return user name and passwords for the Sentinels, as secret options."""
    kwds = pool.sentinel_manager.sentinel_kwargs
    return tuple(
        (SENTINEL + name, str(kwds[name]))
        for name in ("username", "password", "ssl_password")
        if kwds.get(name)
    )


def sentinels(address: Address, credentials: Credentials) -> Any:
    """Return the Sentinels of an address, as redis-py asks them.

    What is said to the master by TLS is said so to the Sentinels, with the same options, unless
    options of their own say otherwise.
    """
    from redis.connection import URL_QUERY_ARGUMENT_PARSERS
    from redis.sentinel import Sentinel

    given = dict(address.options + credentials.secret_options)
    own = {n.removeprefix(SENTINEL): v for n, v in given.items() if n.startswith(SENTINEL)}
    tls = own.pop("ssl", str(address.scheme == SENTINEL_SCHEMES[1])).lower() in TRUE
    least = own.pop("min_other_sentinels", "0")
    if not least.isdecimal():
        raise ValueError(f"{SENTINEL}min_other_sentinels is a number, such as 1")
    if tls and not any(name.startswith("ssl_") for name in own):
        own |= {name: value for name, value in given.items() if name.startswith("ssl_")}
    readers: Mapping[str, Any] = URL_QUERY_ARGUMENT_PARSERS
    how: dict[str, Any] = {name: readers.get(name, str)(value) for name, value in own.items()}
    if tls:
        how["ssl"] = True
    hosts = split_hosts(address.host)
    random.SystemRandom().shuffle(hosts)  # processes do not all ask the same one
    untyped: Any = Sentinel
    return untyped(hosts, int(least), _limited(how))


def of_the_master(address: Address, credentials: Credentials) -> tuple[Address, Credentials]:
    """Return what applies to the master of an address, whose host is not known yet."""
    public, secret = (
        tuple(option for option in options if not option[0].startswith(SENTINEL))
        for options in (address.options, credentials.secret_options)
    )
    scheme = "rediss" if address.scheme == SENTINEL_SCHEMES[1] else "redis"
    place = Address(scheme, database=address.database, options=public)
    return place, credentials._replace(secret_options=secret)


def sentinels_of(pool: Any) -> Any:
    """Return the Sentinels of the pool of a client, with connections of our own."""
    import copy

    import redis

    own = copy.copy(pool.sentinel_manager)
    own.sentinels = [
        redis.Redis(kwds["host"], kwds["port"], **_limited(own.sentinel_kwargs))
        for kwds in (each.connection_pool.connection_kwargs for each in own.sentinels)
    ]
    return own


def _limited(how: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with which a Sentinel that does not answer holds nobody up: the next one is
    asked at once.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    limits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), ASK)
    given = {name: value for name, value in how.items() if value is not None}
    return limits | given | {"retry": Retry(NoBackoff(), 0)}


class Master:
    """The master of a service, by what its Sentinels say: a topology."""

    def __init__(self, sentinels: Any, service: str) -> None:
        self._sentinels = sentinels
        self._service = service
        self._node: Node | None = None

    def find(self) -> Node:
        """Return where it is. 2 round trips, to a Sentinel. Raises what redis-py raises."""
        node = self._sentinels.discover_master(self._service)
        # The first is the one that has just answered. If it is it that carries out a failover, it
        # names the server that was promoted a second before it calls that the master.
        promoted = self._sentinels.sentinels[0].sentinel_get_master_addr_by_name(self._service)
        host, port = promoted or node
        self._node = _text(host), int(port)
        return self._node

    def refresh(self) -> bool:
        from redis import RedisError

        try:
            self.find()
        except (RedisError, OSError):  # who connects then says why
            return False
        return True

    def is_current(self, node: Node) -> bool:
        return self._node in (None, node)

    def facts(self) -> dict[str, str]:
        """Return what the first Sentinel that answers says of it: SENTINEL MASTER. 1 round trip,
        and 1 for each that does not answer; empty if none does.
        """
        from redis import RedisError

        for sentinel in self._sentinels.sentinels:
            try:
                found = sentinel.sentinel_master(self._service)
            except (RedisError, OSError):
                continue
            return {str(name): str(value) for name, value in found.items()}
        return {}

    def close(self) -> None:
        self._sentinels.close()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def text_options(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings of TLS that a URL can name, without secrets."""
    for name, value in options.items():
        if name.startswith("ssl_") and "password" not in name and isinstance(value, str):
            yield name, value
        elif name == "ssl_check_hostname" and value is not None:
            yield name, str(value)
        elif name == "ssl_cert_reqs" and value is not None:  # of the module ssl
            yield name, str(value.name).removeprefix("CERT_").lower()
