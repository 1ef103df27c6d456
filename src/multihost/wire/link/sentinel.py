"""The master that Sentinels watch: how an address describes it, and the client that finds it.

The address names the Sentinels and their service, ``redis+sentinel://host:port,host:port/service/0``,
and never the master, which may be another one at the next connection. Options that begin with
``sentinel_`` are for the connections to the Sentinels, the others for that to the master.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from multihost.wire.address import SENTINEL_SCHEMES, Address, Credentials

__all__ = [
    "is_sentinel_pool",
    "sentinel_address",
    "sentinel_pool",
    "sentinel_secrets",
    "text_options",
]

PREFIX = "sentinel_"


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
    hosts = sorted(
        f"{_bracketed(str(kwds['host']))}:{kwds['port']}"
        for kwds in (each.connection_pool.connection_kwargs for each in manager.sentinels)
    )
    more = dict(text_options(manager.sentinel_kwargs))
    if manager.sentinel_kwargs.get("ssl"):
        more["ssl"] = "True"
    if manager.min_other_sentinels:
        more["min_other_sentinels"] = str(manager.min_other_sentinels)
    plain, tls = SENTINEL_SCHEMES
    return Address(
        tls if "SSL" in pool.connection_class.__name__ else plain,
        host=",".join(hosts),
        path=str(pool.service_name),
        database=database,
        options=(*((PREFIX + name, value) for name, value in more.items()), *options),
    )


def sentinel_secrets(pool: Any) -> tuple[tuple[str, str], ...]:
    """Return user name and passwords for the Sentinels, as secret options."""
    kwds = pool.sentinel_manager.sentinel_kwargs
    return tuple(
        (PREFIX + name, str(kwds[name]))
        for name in ("username", "password", "ssl_password")
        if kwds.get(name)
    )


def sentinel_pool(address: Address, credentials: Credentials) -> Any:
    """Return the connection pool that finds the master for an address."""
    from redis.backoff import NoBackoff
    from redis.connection import URL_QUERY_ARGUMENT_PARSERS
    from redis.retry import Retry
    from redis.sentinel import Sentinel

    ours: dict[str, Any] = {"ssl": True} if address.scheme == SENTINEL_SCHEMES[1] else {}
    theirs: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}  # the next Sentinel is asked at once
    for option, value in address.options + credentials.secret_options:
        name = option.removeprefix(PREFIX)
        read: Any = URL_QUERY_ARGUMENT_PARSERS.get(name, str)
        (ours if name == option else theirs)[name] = read(value)
    least = int(theirs.pop("min_other_sentinels", 0))
    if "ssl" in theirs:
        theirs["ssl"] = True
    untyped: Any = Sentinel
    return (
        untyped(list(_hosts(address.host)), least, theirs)
        .master_for(
            address.path,
            db=address.database,
            username=credentials.username or None,
            password=credentials.password or None,
            **ours,
        )
        .connection_pool
    )


def _hosts(hosts: str) -> Iterator[tuple[str, int]]:
    for each in hosts.split(","):
        host, _, port = each.rpartition(":")
        yield host.strip("[]"), int(port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def text_options(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings of TLS that a URL can name, without secrets."""
    for name, value in options.items():
        if name.startswith("ssl_") and "password" not in name and isinstance(value, str):
            yield name, value
        elif name == "ssl_check_hostname" and value is not None:
            yield name, str(value)
        elif name == "ssl_cert_reqs" and value is not None:  # of the module ssl
            yield name, str(value.name).removeprefix("CERT_").lower()
