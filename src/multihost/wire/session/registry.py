"""How this process reaches the server that a proxy came from.

In this order: an open session of this process, credentials inherited from the process that spawned
it, the authkey for the private server of a ``Manager()``, ``MULTIHOST_URL`` if it names the same
server, the address as it stands.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from multiprocessing import current_process
from multiprocessing.context import get_spawning_popen
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from multihost.errors import AddressUnknown
from multihost.wire.address import EMBEDDED, Address, Credentials, parse
from multihost.wire.link import Link
from multihost.wire.session import Session
from multihost.wire.values.codec import Codec, JsonSerializer, Serializer, XmlSerializer

__all__ = [
    "URL_VARIABLE",
    "Origin",
    "embedded_credentials",
    "register",
    "find",
    "inherited_credentials",
    "unregister",
    "reconnect_timeout_for",
]

URL_VARIABLE = "MULTIHOST_URL"

_INHERITED = "multihost"
_SERIALIZERS: dict[str, Serializer | None] = {
    "pickle": None,
    "json": JsonSerializer(),
    "xmlrpclib": XmlSerializer(),
}


class Origin(NamedTuple):
    """What a proxy knows of where it came from; no secret is in it."""

    address: str
    namespace: str
    lease: float
    timeout: float
    reader: str  # the codec's ident
    serializer: Any  # "pickle", "json" or an object with dumps and loads

    def codec(self, authkey: bytes) -> Codec:
        return Codec(authkey, serializer_of(self.serializer))


def serializer_of(choice: Any) -> Serializer | None:
    """The serializer that was asked for; None is pickle."""
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


def embedded_credentials(url: str, authkey: bytes) -> tuple[Address, Credentials]:
    """Address and credentials of a private server. Whoever has the authkey of its owner can derive
    the password.

    Over TCP the password can be overheard: there values are signed with the authkey, and what it
    derives from does not depend on how a client calls the host.
    """
    address, _ = parse(url)
    place = address.path if address.scheme == "unix" else "tcp"
    password = hmac.new(authkey, b"multihost " + place.encode(), hashlib.sha256).hexdigest()
    signing = b"" if address.scheme == "unix" else authkey
    return address._replace(options=EMBEDDED), Credentials(password=password, authkey=signing)


def reconnect_timeout_for(address: Address) -> float:
    """How long to look for a server that was lost. A private one on this host does not return."""
    return 0.0 if address.is_embedded and address.scheme == "unix" else 10.0


# -- the sessions of this process

_sessions: dict[tuple[object, ...], list[Session]] = {}


def register(session: Session, credentials: Credentials) -> None:
    """A manager opened a session: proxies of its server use it from now on, in children too."""
    _sessions.setdefault(session.server, []).append(session)
    if credentials:
        _inherited(create=True)[_inherited_key(session.link.address)] = AuthenticationString(
            credentials.pack()
        )


def unregister(session: Session) -> None:
    """The session is closed."""
    place = session.server
    open_ones = [other for other in _sessions.get(place, []) if other is not session]
    if open_ones:
        _sessions[place] = open_ones
    else:
        _sessions.pop(place, None)


def inherited_credentials(session: Session) -> bytes | None:
    """The credentials of a session, while a child is being spawned; they can be pickled for it and
    for nobody else.
    """
    if get_spawning_popen() is None:
        return None
    return _inherited().get(_inherited_key(session.link.address))


def find(origin: Origin, inherited: bytes | None = None) -> Session:
    """The session for a proxy that was unpickled. Opens no connection yet."""
    address, _ = (
        parse(origin.address) if not origin.address.startswith("fake:") else _refuse_fake(origin)
    )
    for session in reversed(_sessions.get((*address.server, origin.namespace), ())):
        if not session.link.is_closed and session.codec.ident == origin.reader:
            return session
    if inherited is not None:
        credentials = Credentials.unpack(inherited)
    else:
        address, credentials = _resolve(address)
    codec = origin.codec(credentials.authkey if "/" in origin.reader else b"")
    if codec.ident != origin.reader:
        raise AddressUnknown(
            f"values at {address} are signed, and this process has no authkey for them: "
            "create a RedisManager with the same authkey before using its proxies here"
        )
    link = Link(
        address,
        credentials,
        timeout=origin.timeout,
        reconnect_timeout=reconnect_timeout_for(address),
    )
    session = Session(link, codec, origin)
    _sessions.setdefault(session.server, []).append(session)
    return session


def _refuse_fake(origin: Origin) -> tuple[Address, Credentials]:
    for place, sessions in _sessions.items():
        if (
            f"{place[0]}://{place[1]}:{place[2]}/{place[4]}" == origin.address
            and place[5] == origin.namespace
        ):
            return sessions[-1].link.address, Credentials()
    raise AddressUnknown(
        "the proxy belongs to a fakeredis, which lives in one process only; use a real server"
    )


def _resolve(address: Address) -> tuple[Address, Credentials]:
    packed = _inherited().get(_inherited_key(address))
    if packed is not None:
        return address, Credentials.unpack(bytes(packed))
    if address.is_embedded:
        return embedded_credentials(str(address), bytes(current_process().authkey))
    if url := os.environ.get(URL_VARIABLE):
        configured, credentials = parse(url)
        if configured.server == address.server:
            return configured, credentials
    return address, Credentials()


def _inherited_key(address: Address) -> str:
    return "|".join(map(str, address.server))


def _inherited(create: bool = False) -> dict[str, bytes]:
    """Credentials by server, which a child process gets with its configuration and nobody else
    gets.

    The standard library hands its authkey down in the same way: an AuthenticationString refuses to
    be pickled except for a child that is being spawned.
    """
    config: dict[str, Any] = current_process()._config  # type: ignore[attr-defined]
    if create:
        # A new dict, not a change: the children that exist share the old one.
        config[_INHERITED] = dict(config.get(_INHERITED, {}))
    inherited: dict[str, bytes] = config.get(_INHERITED, {})
    return inherited
