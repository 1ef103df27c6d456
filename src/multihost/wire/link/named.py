"""A host name that may lead to another server later, as those of managed services do.

The name is resolved at each connection anyway. Who is connected already hears nothing of a move, if
the old master lives on: it is asked over a connection of its own whether it still is one.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable

from multihost.errors import MultihostError
from multihost.wire.address import Address
from multihost.wire.link.channel import Channel, ConnectionBroken, Node, Reply
from multihost.wire.link.fence import run_id
from multihost.wire.link.resp import pack
from multihost.wire.link.topology import Attempts, Route
from multihost.wire.replies import ReplyError

__all__ = ["Named", "may_move", "named_route", "peer_of", "resolve", "role_in"]

ASK = 1.0  # seconds for a reply
RESOLVE = 5.0  # seconds between two questions to the name service
KEEP = 60.0  # seconds for which an address counts as one of the name: not all are in each answer


def may_move(host: str) -> bool:
    """Return whether a host is a name that may lead to another machine some day."""
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    return False


def named_route(open_: Callable[[float], Channel], address: Address) -> Route:
    """Return the way to the master that the host of an address leads to, by ``open_``, which
    connects to no replica.
    """
    attempts = Attempts()
    return Route(
        lambda timeout: attempts.make(open_, timeout), Named(address.host, address.port, open_)
    )


def resolve(host: str, port: int) -> list[Node]:
    """Return the addresses of a host, those to try first at the beginning. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(place[0]), int(place[1])) for *_, place in found]


def peer_of(sock: socket.socket) -> Node | None:
    """Return the server to which a TCP socket is connected; None if it is not connected any
    more.
    """
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return None
    return host, port


def role_in(facts: Reply) -> bytes:
    """Return the role of a server in its ``INFO replication``, empty if that was refused."""
    lines = facts.splitlines() if isinstance(facts, bytes) else []
    return next((line[5:] for line in lines if line.startswith(b"role:")), b"")


class Named:
    """The master that a host name leads to: a topology. ``open_`` connects to that, and to no
    replica.
    """

    def __init__(self, host: str, port: int, open_: Callable[[float], Channel]) -> None:
        self._place = host, port
        self._open = open_
        self._probe: Channel | None = None
        self._left: set[Node] = set()  # where it was before
        self._seen: dict[Node, float] = {}  # address of the name -> when it was that last
        self._resolved = -RESOLVE

    def refresh(self) -> bool:
        """Return whether a master answered. 1 round trip, more to connect."""
        try:
            self._follow()
        except (ConnectionBroken, MultihostError, OSError):  # who calls says why
            self.close()
        return self._probe is not None

    def is_current(self, node: Node) -> bool:
        probe = self._probe
        if probe is not None and probe.node == node:
            return True
        return node not in self._left and node in self._seen

    def close(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.close()

    def _follow(self) -> None:
        """See that the probe leads to where the name does."""
        probe = self._probe
        if probe is not None and not _leads(probe):
            self._leave(probe)
            probe = None
        if probe is None:
            self._take(self._open(ASK))
        now = time.monotonic()
        if now - self._resolved < RESOLVE:
            return
        self._resolved = now
        found = self._resolve(now)
        if probe is not None and probe.node not in found:
            other = self._open(ASK)
            if _run(other) == _run(probe):  # the same server at another address
                other.close()
            else:
                self._leave(probe)
                self._take(other)

    def _take(self, probe: Channel) -> None:
        self._probe = probe
        if probe.node is not None:
            self._left.discard(probe.node)
            self._seen[probe.node] = time.monotonic()

    def _leave(self, probe: Channel) -> None:
        self._probe = None
        if probe.node is not None:
            self._left.add(probe.node)
        probe.close()

    def _resolve(self, now: float) -> set[Node]:
        """Return the addresses that the name has now."""
        nodes = set(resolve(*self._place))
        seen = self._seen | dict.fromkeys(nodes, now)
        self._seen = {node: when for node, when in seen.items() if now - when < KEEP}
        return nodes


def _leads(probe: Channel) -> bool:
    """Return whether a server answers, and does not say that it is a replica."""
    try:
        return role_in(probe.exchange(pack((b"INFO", b"replication")))) != b"slave"
    except ConnectionBroken:
        return False


def _run(channel: Channel) -> bytes:
    facts = channel.exchange(pack((b"INFO", b"server")))
    return run_id(facts) if isinstance(facts, (bytes, ReplyError)) else b""
