"""The sessions of this process, and how it reaches the server of a proxy that it unpickles.

By the first of these that there is: an open session of this process; credentials inherited from
the process that spawned it; the authkey, for the private server of a ``Manager()``;
``MULTIHOST_URL``, if it names the same server; the address without credentials.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from multiprocessing import current_process
from multiprocessing.context import get_spawning_popen
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from multihost.errors import AddressUnknown, ServerUnfit
from multihost.wire.address import (
    CLUSTER_SCHEMES,
    PRIVATE,
    Address,
    Credentials,
    parse,
    parse_address,
)
from multihost.wire.authkey import stretched
from multihost.wire.keys import names
from multihost.wire.link import Link, Replicas, check_url, has_ended, link_to, note_end
from multihost.wire.script import check_server
from multihost.wire.session import Session
from multihost.wire.values.codec import Codec, JsonSerializer, Serializer, XmlSerializer
from multihost.wire.values.signed import codec_for

__all__ = [
    "URL_VARIABLE",
    "Origin",
    "configured_url",
    "connect",
    "find",
    "inherited_credentials",
    "is_starting",
    "is_starting_another",
    "private_credentials",
    "reconnect_timeout_for",
    "register",
    "serializer_of",
    "unregister",
]

URL_VARIABLE = "MULTIHOST_URL"

_INHERITED = "multihost"
ENDED = b"ended"
"""In the place of credentials: a child is told so, or it would connect to whoever is there now."""
_SERIALIZERS: dict[str, Serializer | None] = {
    "pickle": None,
    "json": JsonSerializer(),
    "xmlrpclib": XmlSerializer(),
}


class Origin(NamedTuple):
    """How to reach the namespace of a proxy. It travels in pickles and holds no secret."""

    address: str
    namespace: str
    lease: float
    timeout: float
    reader: str  # the codec's ident
    serializer: Any  # "pickle", "json" or an object with dumps and loads
    grace: float | None = None  # None: by measure
    replicas: Replicas = 0

    def codec(self, authkey: bytes) -> Codec:
        """Return a codec for its values."""
        return codec_for(authkey, serializer_of(self.serializer), self.namespace)


def serializer_of(choice: Any) -> Serializer | None:
    """Return the serializer of that name, or ``choice`` itself; None for pickle."""
    if isinstance(choice, str):
        if choice not in _SERIALIZERS:
            known = " or ".join(map(repr, _SERIALIZERS))
            raise KeyError(f"serializer={choice!r}: use {known}, or an object with dumps and loads")
        return _SERIALIZERS[choice]
    if not (callable(getattr(choice, "dumps", None)) and callable(getattr(choice, "loads", None))):
        raise TypeError(
            f"a serializer has the methods dumps and loads; {type(choice).__name__} has not"
        )
    return choice  # type: ignore[no-any-return]


def private_credentials(address: Address, authkey: bytes) -> Credentials:
    """Return the credentials for a private server.

    At a given address both sides prove that they have the authkey, and values are signed with it.
    The socket of a ``Manager()`` can be opened by its user alone; the password derives from the
    authkey of its owner, which children have.
    """
    key = stretched(authkey)
    if address.is_given:
        return Credentials(authkey=key)
    password = hmac.new(key, b"multihost " + address.path.encode(), hashlib.sha256).hexdigest()
    return Credentials(password=password)


def configured_url() -> str:
    """Return the URL in ``MULTIHOST_URL``, "" if there is none. Raises ValueError and ServerUnfit
    that name the variable if it is none that can be used.
    """
    url = os.environ.get(URL_VARIABLE, "")
    if url not in ("", PRIVATE):
        try:
            check_url(url)
        except (ValueError, ServerUnfit) as error:
            raise type(error)(f"{URL_VARIABLE}: {error}") from None
    return url


def reconnect_timeout_for(address: Address) -> float | None:
    """Return the reconnect timeout in seconds: zero for a private server on this machine, which
    does not come back; None for the timeout of the manager.
    """
    return 0.0 if address.is_embedded and address.scheme == "unix" else None


def connect(link: Link, namespace: str) -> None:
    """Connect, and check that the server is fit and grants access to the namespace. 2 round trips.

    Closes the link and raises LinkError, AccessDenied or ServerUnfit if not.
    """
    try:
        link.connect()
        if not link.address.is_embedded:
            check_server(link, names(namespace, 0))
    except BaseException:
        link.close_now()
        raise


# -- the sessions of this process

_sessions: dict[tuple[object, ...], list[Session]] = {}  # by their ``server``


def register(session: Session, credentials: Credentials) -> None:
    """Have proxies of its server use a session, and child processes its credentials."""
    _sessions.setdefault(session.server, []).append(session)
    if credentials:
        _inherited(create=True)[_inherited_key(session.link.address)] = AuthenticationString(
            credentials.pack()
        )


def unregister(session: Session) -> None:
    """Undo :meth:`register` for proxies: the session is closed."""
    others = [other for other in _sessions.get(session.server, []) if other is not session]
    if others:
        _sessions[session.server] = others
    else:
        _sessions.pop(session.server, None)


def is_starting_another() -> bool:
    """Return whether this thread pickles what a child is given that is being spawned. That child
    reads it, once, and nobody else.
    """
    return get_spawning_popen() is not None


def is_starting() -> bool:
    """Return whether this process, which was spawned, reads what it is given."""
    return getattr(current_process(), "_inheriting", False)


def inherited_credentials(session: Session) -> bytes | None:
    """Return the credentials of a session while a child is being spawned, else None. They can only
    be pickled for that child. In their place it is told that the private server has ended.
    """
    if get_spawning_popen() is None:
        return None
    if has_ended(session.link.address):
        return ENDED
    return _inherited().get(_inherited_key(session.link.address))


def find(origin: Origin, inherited: bytes | None = None) -> Session:
    """Return the session for a proxy that is being unpickled. Opens no connection yet.

    Raises AddressUnknown.
    """
    address = (
        parse_address(origin.address)
        if not origin.address.startswith("fake:")
        else _address_of_fake(origin)
    )
    for session in reversed(_sessions_at(address, origin.namespace)):
        how = session.codec.ident, session.origin.replicas
        if how == (origin.reader, origin.replicas) and not session.link.is_closed:
            return session
    if inherited == ENDED:
        note_end(address)
        inherited = None
    if inherited is not None:
        credentials = Credentials.unpack(inherited)
    else:
        address, credentials = _resolve(address)
    codec = origin.codec(credentials.authkey if "/" in origin.reader else b"")
    if codec.ident != origin.reader:
        raise AddressUnknown(
            f"values at {address} are signed, and this process has no authkey for them: "
            "create a RedisManager with the same authkey before using its proxies"
        )
    link = link_to(
        address,
        credentials,
        timeout=origin.timeout,
        reconnect_timeout=reconnect_timeout_for(address),
        replicas=origin.replicas,
    )
    session = Session(link, codec, origin)
    _sessions.setdefault(session.server, []).append(session)
    return session


def _sessions_at(address: Address, namespace: str) -> list[Session]:
    """Return the sessions of this process in a namespace of a server, or of a cluster, whichever
    servers of that their addresses name.
    """
    found = _sessions.get((*address.server, namespace), [])
    if found or address.scheme not in CLUSTER_SCHEMES:
        return found
    return [
        session
        for sessions in list(_sessions.values())
        for session in sessions
        if session.namespace == namespace and session.link.leads_to(address)
    ]


def _address_of_fake(origin: Origin) -> Address:
    for server, sessions in _sessions.items():
        if (
            f"{server[0]}://{server[1]}:{server[2]}/{server[4]}" == origin.address
            and server[5] == origin.namespace
        ):
            return sessions[-1].link.address
    raise AddressUnknown(
        "the proxy belongs to a fakeredis, which lives in one process only; use a real server"
    )


def _resolve(address: Address) -> tuple[Address, Credentials]:
    packed = _inherited().get(_inherited_key(address))
    if packed is not None:
        return address, Credentials.unpack(bytes(packed))
    if address.is_embedded:
        return address, private_credentials(address, bytes(current_process().authkey))
    if (url := configured_url()) not in ("", PRIVATE):
        configured, credentials = parse(url)
        if configured.server == address.server:
            return configured, credentials
    return address, Credentials()


def _inherited_key(address: Address) -> str:
    return "|".join(map(str, address.server))


def _inherited(create: bool = False) -> dict[str, bytes]:
    """Return the credentials of servers that child processes inherit with their configuration.

    The standard library passes its authkey on in the same way: an AuthenticationString refuses to
    be pickled except for a child that is being spawned.
    """
    process: Any = current_process()
    config: dict[str, Any] = process._config  # noqa: SLF001 - children inherit it
    if create:
        # A new dict: Process objects that were made before share the old one.
        config[_INHERITED] = dict(config.get(_INHERITED, {}))
    inherited: dict[str, bytes] = config.get(_INHERITED, {})
    return inherited
