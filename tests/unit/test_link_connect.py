"""Opening a connection: the handshake."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest

from multihost import errors
from multihost.wire.address import Address, Credentials
from multihost.wire.link.channel import ConnectionRefused
from multihost.wire.link.connect import _handshake, connector_for
from multihost.wire.link.socket import SocketChannel
from tests.support.ports import closed_address

PLAIN = Address("redis", "somewhere", 6379)


class Peer:
    def __init__(self) -> None:
        self.socket, ours = socket.socketpair()
        self.channel = SocketChannel(ours, 30.0)

    def commands(self) -> list[list[bytes]]:
        reader = hiredis.Reader()
        reader.feed(self.socket.recv(65536))
        found = []
        while (command := reader.gets()) is not False:
            found.append(command)
        return found


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.channel.close()
    made.socket.close()


def test_the_handshake_asks_for_resp3_and_gives_a_name(peer: Peer) -> None:
    peer.socket.send(b"%0\r\n")
    _handshake(peer.channel, PLAIN, Credentials())
    assert peer.commands() == [[b"HELLO", b"3", b"SETNAME", b"multihost"]]


@pytest.mark.parametrize(
    ("credentials", "user"),
    [(Credentials("bob", "pw"), b"bob"), (Credentials("", "pw"), b"default")],
)
def test_the_handshake_authenticates_and_selects_in_one_write(
    credentials: Credentials, user: bytes, peer: Peer
) -> None:
    peer.socket.send(b"%0\r\n+OK\r\n")
    _handshake(peer.channel, PLAIN._replace(database=3), credentials)
    hello, select = peer.commands()
    assert hello == [b"HELLO", b"3", b"AUTH", user, b"pw", b"SETNAME", b"multihost"]
    assert select == [b"SELECT", b"3"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("WRONGPASS invalid username-password pair", errors.AccessDenied),
        ("NOAUTH HELLO must be called with", errors.AccessDenied),
        ("NOPERM this user has no permissions", errors.AccessDenied),
        ("LOADING the dataset is loaded", ConnectionRefused),
        ("MASTERDOWN link with MASTER is down", ConnectionRefused),
        ("ERR unknown command 'HELLO'", errors.ServerUnfit),
        ("NOPROTO unsupported protocol version", errors.ServerUnfit),
        ("ERR max number of clients reached", ConnectionRefused),
        ("DENIED Running in protected mode", errors.AccessDenied),
    ],
)
def test_a_refused_handshake_has_its_exception(
    reply: str, kind: type[Exception], peer: Peer
) -> None:
    peer.socket.send(f"-{reply}\r\n".encode())
    with pytest.raises(kind) as caught:
        _handshake(peer.channel, PLAIN, Credentials("bob", "secret"))
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_exist_is_refused(peer: Peer) -> None:
    peer.socket.send(b"%0\r\n-ERR DB index is out of range\r\n")
    with pytest.raises(errors.ServerUnfit, match="no database of that number"):
        _handshake(peer.channel, PLAIN._replace(database=99), Credentials())


def test_a_failed_handshake_closes_the_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        ended = []

        def serve() -> None:
            server, _ = listener.accept()
            with server:
                server.recv(65536)
                server.send(b"-NOAUTH no\r\n")
                ended.append(server.recv(1))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(errors.AccessDenied):
            connector_for(Address("unix", path=path), Credentials())(30.0)
        thread.join()
    assert ended == [b""]


@pytest.mark.parametrize("address", ["unix", "tcp"])
def test_a_connection_that_is_refused_is_an_oserror(address: str, tmp_path: Path) -> None:
    """Of which the link makes a ConnectionBroken, and tries again."""
    with closed_address() as (host, port):
        where = (
            Address("unix", path=str(tmp_path / "none"))
            if address == "unix"
            else Address("redis", host, port)
        )
        with pytest.raises(OSError):
            connector_for(where, Credentials())(30.0)


def test_a_tcp_connection_is_kept_alive_and_does_not_wait_to_send() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            server, _ = listener.accept()
            with server:
                server.recv(65536)
                server.send(b"%0\r\n")
                server.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        address = Address("redis", *listener.getsockname())
        channel = connector_for(address, Credentials())(30.0)
        assert isinstance(channel, SocketChannel)
        sock = channel._socket
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        channel.close()
        thread.join()
