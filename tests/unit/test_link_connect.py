"""Opening a connection: the handshake."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest

from multihost import errors
from multihost.wire.address import Address, Credentials
from multihost.wire.link.channel import ConnectionRefused
from multihost.wire.link.connect import connector_for
from multihost.wire.link.greeting import greet
from multihost.wire.link.socket import SocketChannel
from tests.support.ports import closed_address

REFUSED = "-NOAUTH Authentication required.\r\n"
PLAIN = Address("redis", "somewhere", 6379)


class Peer:
    def __init__(self) -> None:
        self.socket, ours = socket.socketpair()
        self.channel = SocketChannel(ours, 30.0)

        self.requests: list[bytes] = []

    @contextlib.contextmanager
    def answering(self, *answers: bytes) -> Iterator[None]:
        """Answer one write after the other."""

        def serve() -> None:
            for answer in answers:
                self.requests.append(self.socket.recv(65536))
                self.socket.send(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()

    def commands(self, requests: bytes = b"") -> list[list[bytes]]:
        reader = hiredis.Reader()
        reader.feed(requests or self.socket.recv(65536))
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
    greet(peer.channel, PLAIN, Credentials())
    assert peer.commands() == [[b"HELLO", b"3", b"SETNAME", b"multihost"]]


@pytest.mark.parametrize(
    ("credentials", "user"),
    [(Credentials("bob", "pw"), b"bob"), (Credentials("", "pw"), b"default")],
)
def test_the_handshake_authenticates_and_selects_in_one_write(
    credentials: Credentials, user: bytes, peer: Peer
) -> None:
    peer.socket.send(b"%0\r\n+OK\r\n")
    greet(peer.channel, PLAIN._replace(database=3), credentials)
    hello, select = peer.commands()
    assert hello == [b"HELLO", b"3", b"AUTH", user, b"pw", b"SETNAME", b"multihost"]
    assert select == [b"SELECT", b"3"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("WRONGPASS invalid username-password pair", errors.AccessDenied),
        ("NOAUTH HELLO must be called with", errors.AccessDenied),
        ("LOADING the dataset is loaded", ConnectionRefused),
        ("MASTERDOWN link with MASTER is down", ConnectionRefused),
        ("ERR max number of clients reached", ConnectionRefused),
        ("DENIED Running in protected mode", errors.AccessDenied),
    ],
)
def test_a_refused_handshake_has_its_exception(
    reply: str, kind: type[Exception], peer: Peer
) -> None:
    peer.socket.send(f"-{reply}\r\n".encode())
    with pytest.raises(kind) as caught:
        greet(peer.channel, PLAIN, Credentials("bob", "secret"))
    assert "secret" not in str(caught.value)


# As Redis 5, a proxy, one that knows the command but not all of it, and a user of few rights.
LACKING = [
    "ERR unknown command 'HELLO'",
    "ERR unsupported command 'hello'",
    "NOPROTO unsupported protocol version",
    "ERR Syntax error in HELLO option 'SETNAME'",
    "NOPERM this user has no permissions to run the 'hello' command",
]


@pytest.mark.parametrize("reply", LACKING)
@pytest.mark.parametrize(
    ("credentials", "log_in"),
    [
        (Credentials("bob", "pw"), [[b"AUTH", b"bob", b"pw"]]),
        (Credentials("", "pw"), [[b"AUTH", b"pw"]]),
        (Credentials(), []),
    ],
)
def test_where_there_is_no_resp3_the_connection_speaks_resp2(
    reply: str, credentials: Credentials, log_in: list[list[bytes]], peer: Peer
) -> None:
    replies = b"+OK\r\n" * len([*log_in, "SELECT", "CLIENT"]) + b"$10\r\nrole:slave\r\n"
    with peer.answering(f"-{reply}\r\n-NOAUTH no\r\n".encode(), replies):
        assert greet(peer.channel, PLAIN._replace(database=3), credentials) == b"slave"
    assert peer.commands(peer.requests[1]) == [
        *log_in,
        [b"SELECT", b"3"],
        [b"CLIENT", b"SETNAME", b"multihost"],
        [b"INFO", b"replication"],
    ]


def test_a_connection_without_a_name_will_do(peer: Peer) -> None:
    unknown = b"-ERR unknown command 'HELLO'\r\n", 2 * b"-ERR unknown command 'CLIENT'\r\n"
    with peer.answering(*unknown):
        assert greet(peer.channel, PLAIN, Credentials()) == b""


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("WRONGPASS invalid username-password pair", errors.AccessDenied),
        ("ERR invalid password", errors.AccessDenied),
        ("NOPERM this user has no permissions", errors.AccessDenied),
        ("ERR max number of clients reached", ConnectionRefused),
    ],
)
def test_a_refused_log_in_without_resp3_has_its_exception(
    reply: str, kind: type[Exception], peer: Peer
) -> None:
    answers = b"-NOPROTO no\r\n", f"-{reply}\r\n{2 * REFUSED}".encode()
    with peer.answering(*answers), pytest.raises(kind) as caught:
        greet(peer.channel, PLAIN, Credentials("bob", "secret"))
    assert "secret" not in str(caught.value)


def test_a_server_that_wants_a_password_says_so_without_resp3(peer: Peer) -> None:
    answers = b"-NOPROTO no\r\n", 2 * b"-NOAUTH Authentication required.\r\n"
    with (
        peer.answering(*answers),
        pytest.raises(errors.AccessDenied, match="user name or password"),
    ):
        greet(peer.channel, PLAIN, Credentials())


def test_a_database_that_does_not_exist_is_refused(peer: Peer) -> None:
    peer.socket.send(b"%0\r\n-ERR DB index is out of range\r\n")
    with pytest.raises(errors.ServerUnfit, match="no database of that number"):
        greet(peer.channel, PLAIN._replace(database=99), Credentials())


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
