"""Opening a channel."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from functools import partial

from multihost.wire.address import (
    CLUSTER_SCHEMES,
    EMBEDDED,
    SENTINEL_SCHEMES,
    Address,
    Credentials,
    parse,
    split_hosts,
)
from multihost.wire.link.channel import Channel, ConnectionBroken, Node, refuse_replica
from multihost.wire.link.greeting import greet
from multihost.wire.link.named import may_move, named_route, resolve
from multihost.wire.link.peer import connect_to_private
from multihost.wire.link.proof import Proof, proof_for
from multihost.wire.link.redispy import client_connector, client_opener, sentinel_route
from multihost.wire.link.sentinel import of_the_master
from multihost.wire.link.socket import SocketChannel
from multihost.wire.link.topology import Route
from multihost.wire.redaction import Redactor

__all__ = ["check_url", "connector_for", "open_private", "route_for"]

CONNECT_TIMEOUT = 5.0


def _open_socket(
    address: Address,
    credentials: Credentials,
    redact: Redactor,
    proof: Proof | None,
    timeout: float,
) -> SocketChannel:
    if address.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _CloseOnError(sock):
            sock.settimeout(min(CONNECT_TIMEOUT, timeout))
            if address.is_embedded:
                connect_to_private(sock, address)
            else:
                sock.connect(address.path)
    else:
        sock = _dial(address.host, address.port, timeout)
    with _CloseOnError(sock):
        if proof is not None:
            credentials = proof.ask(SocketChannel(sock, timeout), address)
            redact = Redactor(credentials.secrets)
        channel = SocketChannel(sock, timeout, redact)
        greet(channel, address, credentials)
    return channel


def _dial(host: str, port: int, timeout: float) -> socket.socket:
    sock = socket.create_connection((host, port), min(CONNECT_TIMEOUT, timeout))
    with _CloseOnError(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(sock)
    return sock


def _open_at(
    address: Address, credentials: Credentials, redact: Redactor, node: Node, timeout: float
) -> SocketChannel:
    """Connect to one of the servers of an address, unless it is a replica."""
    sock = _dial(*node, timeout)
    with _CloseOnError(sock):
        channel = SocketChannel(sock, timeout, redact)
        refuse_replica(greet(channel, address, credentials), address)
    channel.node = node
    return channel


def _open_named(
    address: Address, credentials: Credentials, redact: Redactor, timeout: float
) -> SocketChannel:
    """Connect to the first of the servers that a host name leads to which is no replica."""
    failed: Exception = OSError("the host name has no address")
    for node in resolve(address.host, address.port):
        try:
            return _open_at(address, credentials, redact, node, timeout)
        except (OSError, ConnectionBroken) as error:
            failed = error
    raise failed


def _keep_alive(sock: socket.socket) -> None:
    """Let the kernel detect a dead peer: a blocked waiter sends nothing that would fail."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # on macOS the first has another name
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class _CloseOnError(contextlib.AbstractContextManager[None]):
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self._socket.close()


def check_url(url: str) -> None:
    """Raise ValueError or ServerUnfit for what is no URL of a server, or has options that do not
    exist. Opens no connection.
    """
    route_for(*parse(url), follow=False)


def connector_for(address: Address, credentials: Credentials) -> Callable[[float], Channel]:
    """Return a function that opens a channel to an address, with a timeout for each reply."""
    return route_for(address, credentials, follow=False).open


def route_for(address: Address, credentials: Credentials, *, follow: bool = True) -> Route:
    """Return how channels to an address are opened, and what says whether they still lead to the
    master. Without ``follow`` a host name may lead to a replica.
    """
    named = address.options + credentials.secret_options
    redact = Redactor(credentials.secrets)
    if address.scheme in CLUSTER_SCHEMES:
        from multihost.wire.link.cluster.topology import cluster_route  # most need none

        return cluster_route(
            address, split_hosts(address.host), _node_opener(address, credentials, redact)
        )
    if address.scheme in SENTINEL_SCHEMES:
        return sentinel_route(address, credentials, _opener(address, credentials, redact))
    is_fixed = address.is_embedded or address.scheme == "unix" or not may_move(address.host)
    if is_fixed or not follow:
        if address.scheme == "rediss" or (named and not address.is_embedded):
            return Route(client_connector(address, credentials))
        proof = None
        if address.is_given and credentials.authkey:
            proof = proof_for(credentials.authkey, address.scheme)
        return Route(partial(_open_socket, address, credentials, redact, proof))
    if address.scheme == "rediss" or named:
        open_: Callable[[float], Channel] = client_connector(address, credentials, follow=True)
    else:
        open_ = partial(_open_named, address, credentials, redact)
    return named_route(open_, address)


def _node_opener(
    address: Address, credentials: Credentials, redact: Redactor
) -> Callable[[Node, float], Channel]:
    """Return a function that opens a channel to a server of a cluster, a replica too."""
    tls = address.scheme == CLUSTER_SCHEMES[1]
    there = address._replace(scheme="rediss" if tls else "redis", host="")
    if tls or there.options or credentials.secret_options:
        return client_opener(there, credentials, address, follow=False)
    return lambda node, timeout: _open_socket(
        there._replace(host=node[0], port=node[1]), credentials, redact, None, timeout
    )


def _opener(
    address: Address, credentials: Credentials, redact: Redactor
) -> Callable[[Node, float], Channel]:
    """Return a function that opens a channel to a master that Sentinels have named."""
    there, login = of_the_master(address, credentials)
    if there.scheme == "rediss" or there.options or login.secret_options:
        return client_opener(there, login, address)
    return partial(_open_at, there, login, redact)


def open_private(path: str, password: str) -> SocketChannel:
    """Open a channel to the server that this process has just started, through a socket that only
    this user and root can open. Raises OSError, and ServerUnproven for another user's.
    """
    address, credentials = Address("unix", path=path, options=EMBEDDED), Credentials("", password)
    return _open_socket(address, credentials, Redactor((password,)), None, CONNECT_TIMEOUT)
