"""Connecting to the server that is inspected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from multihost.wire.address import Credentials, parse
from multihost.wire.authkey import stretched
from multihost.wire.identity import check_namespace
from multihost.wire.link import link_to, route_for
from multihost.wire.replies import microseconds
from multihost.wire.session import Session, registry
from multihost.wire.values.signed import codec_for

__all__ = ["opened", "server_time"]

TIMEOUT = 10.0
LEASE = 30.0  # seconds; nothing is held


@contextlib.contextmanager
def opened(
    url: str,
    namespace: str = "multihost",
    *,
    authkey: bytes = b"",
    timeout: float = TIMEOUT,
) -> Iterator[Session]:
    """Yield a session at a server, however unfit that is, for the functions of this package.

    ``authkey`` is the one that values
    are signed with, or the one of the process that owns a private server. Does not wait for an
    unreachable server. Raises LinkError, AccessDenied, and ValueError for an invalid URL.
    """
    address, credentials = parse(url)
    if address.is_embedded and authkey:
        credentials = registry.private_credentials(address, authkey)
    elif authkey:
        name, password, _, secrets = credentials
        credentials = Credentials(name, password, stretched(authkey), secrets)
    # Also at a replica that a host name leads to, which a program would not be connected to.
    route = route_for(address, credentials, follow=False)
    link = link_to(address, credentials, timeout=timeout, reconnect_timeout=0.0, route=route)
    codec = codec_for(credentials.authkey, None, check_namespace(namespace))
    origin = registry.Origin(str(address), namespace, LEASE, timeout, codec.ident, "pickle")
    session = Session(link, codec, origin)
    try:
        link.connect()
        for each in link.masters():
            each.execute(b"PING")
        yield session
    finally:
        session.close_at_exit()


def server_time(session: Session) -> float:
    """Return the seconds since the epoch, by the clock of the server, or of one of them. 1 round
    trip.
    """
    return microseconds(session.link.masters()[0].execute(b"TIME")) / 1e6
