"""The address of a server and the credentials for it, which are kept apart.

An :class:`Address` is public: it may appear in a pickle, a repr or a log. :class:`Credentials` may
not.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from multihost.errors import ServerUnfit

__all__ = [
    "EMBEDDED",
    "GIVEN",
    "PRIVATE",
    "PUBLIC_OPTIONS",
    "Address",
    "Credentials",
    "ListenAddress",
    "check_listen_address",
    "parse",
    "parse_address",
    "url_of",
]

ListenAddress = str | tuple[str, int]
"""Where a private server listens, in the form of multiprocessing: a path, or host and port."""

SCHEMES = ("redis", "rediss", "unix")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
PRIVATE = "embedded://"
"""In the place of a URL: a private server of the manager's own."""
_ENCODE = "write @ / ? # in a name or a password as %40 %2F %3F %23"
EMBEDDED = (("multihost", "embedded"),)
"""The options that mark the private server of a ``Manager()``."""
GIVEN = (("multihost", "given"),)
"""Those of one that listens where a caller said, and that has to prove to have the authkey."""
DEFAULT_PORT = 6379
PUBLIC_OPTIONS = frozenset(
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
"""The options that an address shows. Another one may be a password by a name that is none."""
_SCHEME = re.compile(
    r"rediss?(\+(sentinel|cluster))?|unix|https?|ftps?|tcp|tls|embedded", re.IGNORECASE
)
_HOST = re.compile(r"[^\s\x00-\x20\x7f<>\"'`\\]*")
_PLACE = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.%]+\])(:[0-9]+)?")


class Address(NamedTuple):
    """A server, a database on it, and options that are not secret.

    With a scheme of Sentinels ``host`` has all of them, ``host:port,host:port``, and ``path`` the
    name of their service.
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
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            start = f"{self.scheme}://{host}:{self.port}/{self.database}"
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
        fields = (self.username, self.password, self.authkey.hex(), self.secret_options)
        return json.dumps(fields).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> Credentials:
        username, password, authkey, secrets = json.loads(packed)
        return cls(username, password, bytes.fromhex(authkey), tuple(map(tuple, secrets)))


def parse_address(text: str) -> Address:
    """Return the address of which that is the text."""
    scheme, _, rest = text.partition("://")
    if scheme not in SENTINEL_SCHEMES:
        return parse(text)[0]
    place, _, query = rest.partition("?")
    host, service, database = place.split("/")
    options = tuple(parse_qsl(query, keep_blank_values=True))
    return Address(scheme, host, 0, unquote(service), int(database), options)


def parse(url: str) -> tuple[Address, Credentials]:
    """Split a URL into address and credentials.

    ``redis://[user[:password]@]host[:port][/db]``, ``rediss://`` with TLS, and
    ``unix://[user[:password]@]/path[?db=n]``. ``username``, ``password`` and ``db`` may also be
    query options; the remaining options of ``rediss://`` are redis-py's own (``ssl_ca_certs=...``
    and so on).
    """
    if not isinstance(url, str):
        raise TypeError(
            f"an address is a URL such as redis://host:6379/0, not {type(url).__name__}"
        )
    shown = _shown(url)
    parts = _split(url)
    if parts is None:
        raise ValueError(
            f"not a server URL: host and port of {shown!r} cannot be read; "
            f"{_ENCODE}, and the port is a number up to 65535"
        )
    port = parts.port
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    elsewhere = parts.query + ("" if parts.scheme == "unix" else parts.path)
    if parts.fragment or "@" in elsewhere:
        raise ValueError(f"not a server URL: {shown!r}; {_ENCODE}")
    if parts.scheme == PRIVATE.partition(":")[0]:
        raise ValueError(
            f"not a server URL: {shown!r}; {PRIVATE} stands for a private server that a manager "
            "starts, and which has no other clients"
        )
    if parts.scheme.startswith("redis+"):
        raise ServerUnfit(
            f"not supported yet: {shown!r}; use redis://, rediss:// or unix://, or "
            "client=Sentinel(...).master_for(...)"
        )
    if parts.scheme not in SCHEMES:
        raise ValueError(f"not a server URL: {shown!r}; use redis://, rediss:// or unix://")

    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    username = options.pop("username", username)
    password = options.pop("password", password)
    database = options.pop("db", "")
    secrets = tuple((k, v) for k, v in options.items() if k not in PUBLIC_OPTIONS)
    public = tuple((k, v) for k, v in options.items() if k in PUBLIC_OPTIONS)

    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError(f"no socket path in {shown!r}; write unix:///path/to/server.sock")
        address = Address(
            "unix", path=unquote(parts.path), database=_number(database, shown), options=public
        )
    else:
        database = database or parts.path.strip("/")
        address = Address(
            parts.scheme,
            host=parts.hostname or "localhost",
            port=port or DEFAULT_PORT,
            database=_number(database, shown),
            options=public,
        )
    return address, Credentials(username, password, secret_options=secrets)


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL; None if it is none. The error for that would quote it."""
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts if _HOST.fullmatch(parts.hostname or "") else None


def _shown(url: str) -> str:
    """Return what errors show of a URL: its scheme, if that is one that is known, and its host, if
    that stands where only a host can be. Anything else may be a password in the wrong place.
    """
    scheme, found, rest = url.partition("://")
    if not found or not _SCHEME.fullmatch(scheme):
        return "..."
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, found, last = place.rpartition("@")
    host = _PLACE.fullmatch(last)
    is_host = host is not None and bool(found or host[2]) and rest.count("@") == len(found)
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
    shown = f"[{host}]" if ":" in host else host or "127.0.0.1"
    return f"redis://{shown}:{port}/0"
