"""The address of a server and the credentials for it, which are kept apart.

An :class:`Address` is public: it may appear in a pickle, a repr or a log. :class:`Credentials` may
not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

__all__ = [
    "CLUSTER_SCHEMES",
    "CONNECTING",
    "EMBEDDED",
    "GIVEN",
    "PRIVATE",
    "PUBLIC_OPTIONS",
    "Address",
    "Credentials",
    "Host",
    "ListenAddress",
    "check_listen_address",
    "join_hosts",
    "parse",
    "parse_address",
    "split_hosts",
    "url_of",
]

ListenAddress = str | tuple[str, int]
"""Where a private server listens, in the form of multiprocessing: a path, or host and port."""

Host = tuple[str, int | None]
"""A host and its port, None for the usual one."""

SCHEMES = ("redis", "rediss", "unix")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
SENTINEL = "sentinel_"
"""What the options for the connections to Sentinels begin with."""
PRIVATE = "embedded://"
"""In the place of a URL: a private server of the manager's own."""
_ENCODE = "write @ / ? # in a name or a password as %40 %2F %3F %23"
EMBEDDED = (("multihost", "embedded"),)
"""The options that mark the private server of a ``Manager()``."""
GIVEN = (("multihost", "given"),)
"""Those of one that listens where a caller said, and that has to prove to have the authkey."""
DEFAULT_PORT, SENTINEL_PORT = 6379, 26379
CONNECTING = frozenset(
    [
        "client_name",
        "health_check_interval",
        "max_connections",
        "multihost",
        "protocol",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_keyfile",
        "ssl_min_version",
        "timeout",
    ]
)
"""The options of a connection that are no secret."""
PUBLIC_OPTIONS = CONNECTING | {
    *(SENTINEL + name for name in CONNECTING),
    *(SENTINEL + "ssl", SENTINEL + "min_other_sentinels"),
}
"""The options that an address shows. Another one may be a password by a name that is none."""
_SCHEME = r"(?i)rediss?(\+(sentinel|cluster))?|unix|https?|ftps?|tcp|tls|embedded"
_HOST = r"[^\s\x00-\x20\x7f<>\"'`\\]*"
_PLACE = r"([\w.-]+|\[[0-9a-fA-F:.%]+\])(:[0-9]+)?"


class Address(NamedTuple):
    """A server, a database on it, and options that are not secret.

    With a scheme of Sentinels ``host`` has all of them, ``host:port,host:port``, sorted, and
    ``path`` the name of their service; with one of a cluster it has some of its servers.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    database: int = 0
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        options = self.options
        if self.scheme == "unix":
            start = f"unix://{quote(self.path)}"
            options = (("db", str(self.database)), *options) if self.database else options
        elif self.scheme in SENTINEL_SCHEMES:
            start = f"{self.scheme}://{self.host}/{quote(self.path, safe='')}/{self.database}"
        elif self.scheme in CLUSTER_SCHEMES:
            start = f"{self.scheme}://{self.host}/{self.database}"
        else:
            start = f"{self.scheme}://{_bracketed(self.host)}:{self.port}/{self.database}"
        return start + (f"?{urlencode(options)}" if options else "")

    @property
    def server(self) -> tuple[str, str, int, str, int]:
        """What is the same in all addresses of one database on one server."""
        return self.scheme, self.host, self.port, self.path, self.database

    @property
    def may_fail_over(self) -> bool:
        """True if servers take over from each other under this address: it names several."""
        return "+" in self.scheme

    @property
    def is_embedded(self) -> bool:
        """True for the private server of a manager."""
        return self.options in (EMBEDDED, GIVEN)

    @property
    def is_given(self) -> bool:
        """True for a private server that listens where a caller said."""
        return self.options == GIVEN


class Credentials(NamedTuple):
    """User name, password and signing key; its repr shows none of them."""

    username: str = ""
    password: str = ""
    authkey: bytes = b""
    secret_options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return "Credentials(...)"

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.authkey or self.secret_options)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is sent to a server, and shown to nobody."""
        return self.password, *(value for _, value in self.secret_options)

    def pack(self) -> bytes:
        """Return them as bytes, for a child that is being spawned and no other process."""
        import json

        fields = (self.username, self.password, self.authkey.hex(), self.secret_options)
        return json.dumps(fields).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> Credentials:
        import json

        username, password, authkey, secrets = json.loads(packed)
        return cls(username, password, bytes.fromhex(authkey), tuple(map(tuple, secrets)))


def parse_address(text: str) -> Address:
    """Return the address of which that is the text."""
    return parse(text)[0]


def parse(url: str) -> tuple[Address, Credentials]:
    """Split a URL into address and credentials.

    ``redis://[user[:password]@]host[:port][/db]``, ``rediss://`` with TLS,
    ``unix://[user[:password]@]/path[?db=n]``, ``redis+cluster://`` or ``rediss+cluster://`` with
    ``[user[:password]@]host[:port][,host[:port]...]``: some servers of a cluster, which know the
    others, and ``redis+sentinel://`` or ``rediss+sentinel://``
    with ``[user[:password]@]host[:port][,host[:port]...]/service[/db]``: the Sentinels, and the
    name that they have for the master. ``username``, ``password`` and ``db`` may also be query
    options, ``sentinel_username`` and ``sentinel_password`` are for the Sentinels; the remaining
    options are redis-py's own (``ssl_ca_certs=...`` and so on).
    """
    if not isinstance(url, str):
        raise TypeError(
            f"an address is a URL such as redis://host:6379/0, not {type(url).__name__}"
        )
    shown = _shown(url)
    found = _split(url)
    if found is None:
        raise ValueError(
            f"not a server URL: host and port of {shown!r} cannot be read; "
            f"{_ENCODE}, and the port is a number up to 65535"
        )
    parts, hosts = found
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    elsewhere = parts.query + ("" if parts.scheme == "unix" else parts.path)
    if parts.fragment or "@" in elsewhere:
        raise ValueError(f"not a server URL: {shown!r}; {_ENCODE}")
    if parts.scheme == PRIVATE.partition(":")[0]:
        raise ValueError(
            f"not a server URL: {shown!r}; {PRIVATE} stands for a private server that a manager "
            "starts, and which has no other clients"
        )
    if parts.scheme not in SCHEMES + SENTINEL_SCHEMES + CLUSTER_SCHEMES:
        raise ValueError(
            f"not a server URL: {shown!r}; use redis://, rediss://, unix://, redis+sentinel:// or "
            "redis+cluster://"
        )
    if len(hosts) > 1 and parts.scheme in SCHEMES:
        raise ValueError(
            f"{parts.scheme}:// has one host, and {shown!r} has {len(hosts)}; Sentinels are "
            "redis+sentinel://host:26379,host:26379/SERVICE, and a cluster is "
            "redis+cluster://host:6379,host:6379"
        )

    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    username = options.pop("username", username)
    password = options.pop("password", password)
    database = options.pop("db", "")
    secrets = tuple((k, v) for k, v in options.items() if k not in PUBLIC_OPTIONS)
    public = tuple((k, v) for k, v in options.items() if k in PUBLIC_OPTIONS)
    address = _address(parts, hosts, database, shown)._replace(options=public)
    return address, Credentials(username, password, secret_options=secrets)


def _address(parts: SplitResult, hosts: Sequence[Host], database: str, shown: str) -> Address:
    """Return the address without its options, of which ``database`` is one."""
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError(f"no socket path in {shown!r}; write unix:///path/to/server.sock")
        return Address("unix", path=unquote(parts.path), database=_number(database, shown))
    if parts.scheme in CLUSTER_SCHEMES:
        if _number(database or parts.path.strip("/"), shown):
            raise ValueError(
                f"a cluster has no database but 0, which {shown!r} need not name; namespaces keep "
                "programs apart"
            )
        return Address(parts.scheme, join_hosts(hosts, DEFAULT_PORT))
    if parts.scheme in SCHEMES:
        ((host, port),) = hosts
        number = _number(database or parts.path.strip("/"), shown)
        return Address(parts.scheme, host or "localhost", port or DEFAULT_PORT, database=number)
    service, _, path = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError(
            f"no service in {shown!r}; write {parts.scheme}://host:26379,host:26379/SERVICE, with "
            "the name that 'sentinel monitor' in the configuration of the Sentinels gives the "
            "master"
        )
    number = _number(database or path.rstrip("/"), shown)
    return Address(parts.scheme, join_hosts(hosts), 0, unquote(service), number)


def _split(url: str) -> tuple[SplitResult, list[Host]] | None:
    """Return the parts of a URL, and its hosts and ports; None if it is none. The error for that
    would quote it.
    """
    scheme, found, rest = url.partition("://")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, together = place.rpartition("@")
    first, *others = together.split(",") if found else [""]
    try:
        # The standard library knows of one host.
        parts = urlsplit(f"{scheme}://{login}{at}{first}{rest[len(place) :]}" if found else url)
        each = [parts, *(urlsplit(f"//{other}") for other in others)]
        hosts = [(one.hostname or "", one.port) for one in each]
    except ValueError:
        return None
    if others and not all(host for host, _ in hosts):
        return None
    return (parts, hosts) if all(re.fullmatch(_HOST, host) for host, _ in hosts) else None


def join_hosts(hosts: Iterable[Host], port: int = SENTINEL_PORT) -> str:
    """Return several hosts in one text, the same for each order of them."""
    named = {(host or "localhost", own or port) for host, own in hosts}
    return ",".join(sorted(f"{_bracketed(host)}:{own}" for host, own in named))


def split_hosts(text: str) -> list[tuple[str, int]]:
    """Return the hosts that :func:`join_hosts` has joined."""
    found = (each.rpartition(":") for each in text.split(","))
    return [(host.strip("[]"), int(port)) for host, _, port in found]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _shown(url: str) -> str:
    """Return what errors show of a URL: its scheme, if that is one that is known, and its host, if
    that stands where only a host can be. Anything else may be a password in the wrong place.
    """
    scheme, found, rest = url.partition("://")
    if not found or not re.fullmatch(_SCHEME, scheme):
        return "..."
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, found, last = place.rpartition("@")
    hosts = [re.fullmatch(_PLACE, each) for each in last.split(",")]
    is_host = rest.count("@") == len(found) and all(host and (found or host[2]) for host in hosts)
    return f"{scheme}://..." if not is_host else f"{scheme}://{last}" + "..." * (place != rest)


def _number(database: str, shown: str) -> int:
    if database and not (database.isascii() and database.isdigit() and len(database) < 10):
        raise ValueError(f"the database in {shown!r} must be a number, such as 0")
    return int(database or 0)


def check_listen_address(address: Any) -> ListenAddress:
    """Return the address, a path as an absolute one; raise ValueError if it is none."""
    match address:
        case str() if address:
            return os.path.abspath(address)
        case (str() as host, int() as port):
            return host, port
    raise ValueError(
        "an address is a URL such as redis://host:6379/0, a (host, port) or a socket path, "
        f"not {address!r}"
    )


def url_of(address: ListenAddress) -> str:
    """Return the URL of a server that listens there. The empty host stands for every interface: the
    server is reached through any of them.
    """
    if isinstance(address, str):
        return f"unix://{quote(address)}"
    host, port = address
    return f"redis://{_bracketed(host) or '127.0.0.1'}:{port}/0"
