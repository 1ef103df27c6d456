"""Opening a channel."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from multihost.wire.address import EMBEDDED, SENTINEL_SCHEMES, Address, Credentials, parse
from multihost.wire.link.channel import Channel
from multihost.wire.link.greeting import greet
from multihost.wire.link.peer import connect_to_private
from multihost.wire.link.proof import Proof, proof_for
from multihost.wire.link.redispy import client_connector
from multihost.wire.link.socket import SocketChannel
from multihost.wire.redaction import Redactor

__all__ = ["check_url", "connector_for", "open_private"]

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
        host = address.host, address.port
        sock = socket.create_connection(host, min(CONNECT_TIMEOUT, timeout))
        with _CloseOnError(sock):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(sock)
    with _CloseOnError(sock):
        if proof is not None:
            credentials = proof.ask(SocketChannel(sock, timeout), address)
            redact = Redactor(credentials.secrets)
        channel = SocketChannel(sock, timeout, redact)
        greet(channel, address, credentials)
    return channel


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
    connector_for(*parse(url))


def connector_for(address: Address, credentials: Credentials) -> Callable[[float], Channel]:
    """Return a function that opens a channel to an address, with a timeout for each reply."""
    named = address.options + credentials.secret_options
    has_options = bool(named) and not address.is_embedded
    if address.scheme in ("rediss", *SENTINEL_SCHEMES) or has_options:
        return client_connector(address, credentials)
    redact = Redactor(credentials.secrets)
    proof = None
    if address.is_given and credentials.authkey:
        proof = proof_for(credentials.authkey, address.scheme)
    return lambda timeout: _open_socket(address, credentials, redact, proof, timeout)


def open_private(path: str, password: str) -> SocketChannel:
    """Open a channel to the server that this process has just started, through a socket that only
    this user and root can open. Raises OSError, and ServerUnproven for another user's.
    """
    address, credentials = Address("unix", path=path, options=EMBEDDED), Credentials("", password)
    return _open_socket(address, credentials, Redactor((password,)), None, CONNECT_TIMEOUT)
